#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""114 — a provider as the README has it, and the example, both from outside the tree

   cc hello.c -Iinclude -lsluice        [ client ns: curl ]──uplink──[ server ns: DNS, HTTP ]
        └ sluice run --filter ./hello -- curl http://blocked.example/
"""
import os
import re
import subprocess

from lib import main

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def compile_readme(t, lab):
    """the README's provider, built by the README's words. Return: its path"""
    with open(os.path.join(TOP, "README.md")) as file:
        source = re.search(r"```c\n(#include.*?)```", file.read(), re.S).group(1)
    path = lab.new_file("c", source)
    exe = os.path.join(lab.folder, "hello")
    library = lab.path("lib")
    # a sanitized library needs its run time in the program as well
    needed = subprocess.run(["readelf", "-d", library + "/libsluice.so.0"], check=True,
                            capture_output=True, text=True).stdout
    extra = ["-fsanitize=address,undefined"] if "libasan" in needed else []
    subprocess.run(["cc", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", *extra, path,
                    f"-I{TOP}/include", f"-L{library}", f"-Wl,-rpath,{library}", "-lsluice",
                    "-o", exe], check=True)
    t.check(source.count("\n") <= 40, "the README's provider is short")
    return exe


def check_filter(t, lab, filter_text, title):
    for name, verdict in (("good.example", "allow"), ("blocked.example", "drop")):
        run = lab.run([filter_text], ["curl", "-q", "-sS", "-m", "10", f"http://{name}/"])
        t.equal(run.wait_flow(host=name, event="new")["verdict"], verdict, f"{title}: {name}")
        t.equal(run.popen.returncode == 0, verdict == "allow", f"{title}: curl of {name}")


def scenario(t):
    t.needs("curl", "cc", "readelf", "examples/hello-filter", "lib/libsluice.so.0")
    with t.lab() as lab:
        zone = lab.dns()
        zone.add("good.example", "A", "10.79.14.1")
        zone.add("blocked.example", "A", "10.79.14.2")
        lab.http()
        check_filter(t, lab, lab.path("examples/hello-filter") + ":host=blocked.example", "example")
        check_filter(t, lab, compile_readme(t, lab), "README")


if __name__ == "__main__":
    main(scenario)
