# SPDX-License-Identifier: LGPL-2.1-or-later
"""A page for a browser: what it shows at the end tells that each of its parts came whole."""

import os
import random
import struct
import zlib

N_IMAGES, SIDE = 12, 64
WORDS = "the quick brown fox"

PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>a page</title>
<link rel="stylesheet" href="style.css">
<script src="script.js"></script></head>
<body><p id="styled">{words}</p>
{images}
<iframe id="frame" src="frame.html"></iframe>
<ul id="told"></ul>
</body></html>
"""
SCRIPT = """function checksum(text) {
	let sum = 0;
	for (let i = 0; i < text.length; i++)
		sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
	return sum;
}

function tell(name, value) {
	const line = document.createElement("li");

	line.textContent = name + ": " + value;
	document.getElementById("told").append(line);
}

window.addEventListener("load", () => {
	const request = new XMLHttpRequest();

	request.open("GET", "words.txt", false);
	request.send();
	tell("text", request.status + " " + request.responseText.length + " " + checksum(request.responseText));
	for (const image of document.images)
		tell("image", image.naturalWidth);
	tell("colour", getComputedStyle(document.getElementById("styled")).color);
	tell("frame", document.getElementById("frame").contentDocument.body.textContent.trim());
});
"""


def checksum(text):
    """as the script's"""
    total = 0
    for character in text:
        total = (total * 31 + ord(character)) & 0xffffffff
    return total


def _png(seed):
    def chunk(kind, data):
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
    width = SIDE + seed
    rows = b"".join(b"\0" + random.Random(seed * 1000 + y).randbytes(3 * width) for y in range(SIDE))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack("!IIBBBBB", width, SIDE, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make(folder):
    """files of it. Return: lines that the page has when all of it is there"""
    text = "".join(random.Random(171).choices("abcdefghij \n", k=300_000))
    images = "\n".join(f'<img src="{n}.png" alt="">' for n in range(N_IMAGES))
    files = {"index.html": PAGE.format(words=WORDS, images=images), "script.js": SCRIPT, "words.txt": text,
             "style.css": "#styled { color: rgb(1, 2, 3); }\n", "frame.html": "<!doctype html><body>in a frame</body>\n"}
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(content)
    for n in range(N_IMAGES):
        with open(os.path.join(folder, f"{n}.png"), "wb") as file:
            file.write(_png(n))
    return [f"text: 200 {len(text)} {checksum(text)}", "colour: rgb(1, 2, 3)", "frame: in a frame",
            *(f"image: {SIDE + n}" for n in range(N_IMAGES))]
