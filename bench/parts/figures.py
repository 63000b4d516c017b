# SPDX-License-Identifier: LGPL-2.1-or-later
"""Interleaved rounds, and what is said of them: ratios to the `none` of the same round."""

import json
import math
import statistics


class Absent(Exception):
    """a variant that cannot be measured here; its text says why"""


def interval(values):
    """the ranks around the median that hold it with at least 95 % confidence, if there are enough"""
    values = sorted(values)
    n, below, k = len(values), 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2 ** n
        if 2 * below > 0.05:
            break
        k += 1
    k = max(k, 1)  # too few: all of them
    return values[k - 1], values[n - k]


def spread(values):
    """median and interval, for people"""
    return "{:.2f} ({:.2f}-{:.2f})".format(statistics.median(values), *interval(values))


def ratios(results, name, key, base="none"):
    """of a variant to another one, round by round"""
    return [row[key] / other[key] for row, other in zip(results[name], results[base])]


def measure(variants, rounds):
    """name → results, one a round. @variants: name → its measurement; every other round goes
    backwards, so that nobody is always behind the same one"""
    results = {name: [] for name in variants}
    for i in range(rounds):
        for name in list(variants) if i % 2 == 0 else reversed(variants):
            results[name].append(variants[name]())
    return results


def print_results(title, results, key, absent=()):
    print(f"\n{title}")
    wide = max(10, *map(len, [*results, *absent]))
    for name, rows in results.items():
        line = f"  {name:{wide}} {statistics.median(row[key] for row in rows):10.1f} {key:7} "
        line += f"ratio {spread(ratios(results, name, key))}"
        if "p50_us" in rows[0]:
            line += "   connect p50 {:.1f} us, p99 {:.1f} us".format(
                *(statistics.median(row[field] for row in rows) for field in ("p50_us", "p99_us")))
            added = [row["p50_us"] - none["p50_us"] for row, none in zip(rows, results["none"])]
            line += "" if name == "none" else f", p50 {spread(added)} more"
        if resets := sum(row.get("resets", 0) for row in rows):
            line += f"   {resets} connections reset"
        print(line, flush=True)
    for name in absent:
        print(f"  {name:{wide}} cannot be measured here: {absent[name]}", flush=True)


def append(path, line):
    """one JSON object, on a line of its own"""
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")
