# Sluice: the developer's verbs. The build itself is meson's.
BUILD ?= build
CHECK ?= build-check

all: setup
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) >/dev/null
	@ninja -C $(BUILD)

# build dependencies, installed with apt-get when one is missing
setup:
	@tools/setup

demo: all
	@tests/demo $(BUILD)

# sanitizers on: unit, fuzz smoke, BPF and scenario tests; ends in "N passed, N failed, N skipped"
# it goes on without the servers, or the browser, that cannot be fetched: what needs them is skipped
check: setup
	@tools/setup --check || :
	@tools/unpack || :
	@tests/check $(CHECK)

# the tests on Debian 12's own kernel in an emulated machine: slow, needs root
check-vm: all
	@tests/vm/run $(BUILD)

# one JSON line for each of run, clients, packet, relay and peers in bench.json, and a picture of the last
bench: all
	@tools/unpack --peers || :
	@bench/run $(BUILD) --json $(BUILD)/bench.json
	@bench/hostile $(BUILD)
	@bench/crowd $(BUILD)
	@bench/lists $(BUILD)
	@bench/memory $(BUILD)
	@tools/unpack || :
	@bench/clients $(BUILD) --json $(BUILD)/bench.json
	@bench/packet $(BUILD) --json $(BUILD)/bench.json
	@bench/relay $(BUILD) --json $(BUILD)/bench.json
	@$(BUILD)/bench/rules
	@bench/peers $(BUILD) --json $(BUILD)/bench.json
	@bench/draw $(BUILD)/bench.json $(BUILD)/bench-peers.svg

# instructions for a connection, on Debian 12's own kernel in an emulated machine: slow, needs root
bench-vm: all
	@bench/instructions $(BUILD)

fuzz: setup
	@tests/fuzz/run --seconds 60

fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD) $(CHECK) build-fuzz

.PHONY: all setup demo check check-vm bench bench-vm fuzz fmt install clean
