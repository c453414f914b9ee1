# Every target does its own set-up first; the second time that takes no time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Images of containers set it. Without the bytecode, each start of the command, and each worker of the tests, compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help setup run test check bench grid acoustics local-model asterisk network fleet image image-compare boot-loader release booted linphone kiosk lock pjsua2 clean

BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(1) --dist loadfile --no-loadscope-reorder
# Two processes with half of the files each: workers of one would each read all of them.
FAST = find tests/unit -name 'test_*.py' | sort
COMPILE = .cache/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Debian packages, .venv and the SIP library, so that .venv/bin/handset works
	@provisioning/setup.sh run

run: setup ## the appliance on this machine: microphone, sip:handset@127.0.0.1, http://127.0.0.1:8765 (CONFIG=file)
	@echo 'In another terminal: .venv/bin/handset ask "what time is it"; .venv/bin/handset status; .venv/bin/handset doctor'
	@exec $(BIN)/handset run $(if $(CONFIG),--config "$(CONFIG)")

test: ## all tests, with the servers and phones they need (ARGS="-k name"; ARGS=-n0 one after the other)
	@provisioning/setup.sh test
	@$(call PYTEST,6) $(ARGS)

check: ## format, lint, layers, types, and beside them the fast tests: in a minute, also the first time
	@provisioning/setup.sh check
	@$(BIN)/ruff format --check --quiet --output-format concise
	@$(BIN)/ruff check --quiet --output-format concise
	@fast() { $(BIN)/python -m pytest -q -m "not system and not slow" $(ARGS) $$($(FAST) | awk "NR % 2 == $$1") || [ $$? = 5 ]; }; \
	{ $(BIN)/lint-imports --no-logo && $(BIN)/mypy --no-error-summary; } > .cache/types.log & types=$$!; \
	fast 1 > .cache/tests.log 2>&1 & half=$$!; \
	fast 0; tests=$$?; wait $$half || tests=1; cat .cache/tests.log; \
	wait $$types || { cat .cache/types.log; exit 1; }; exit $$tests

bench: ## the figures of docs/performance.md: one JSON object a line
	@provisioning/setup.sh test >&2
	@$(BIN)/python -m tests.bench $(ARGS)

acoustics: ## seven simulated rooms, half an hour of playback in each: echo, drift, distortion, people who talk over it
	@provisioning/setup.sh test >&2
	@HANDSET_ACOUSTIC_MINUTES=$(or $(MINUTES),30) nice -n 19 $(BIN)/python -m tests.bench acoustics

grid: ## a link cut at every quarter second of a turn, on every line, for every service: in `make test` the lines take turns
	@provisioning/setup.sh test
	@HANDSET_GRID=whole $(BIN)/python -m pytest --numprocesses 3 --dist load tests/system/test_link_cut_* $(ARGS)

local-model: ## a real language model behind the stage "openai": built once (a quarter of an hour), then tested
	@provisioning/setup.sh test
	@tests/rig/llama_server.sh .cache/llama
	@HANDSET_LLAMA="$(CURDIR)/.cache/llama" $(BIN)/python -m pytest -m local_model tests/contract/llm/test_llama.py $(ARGS)

asterisk: ## a real Asterisk (from Debian unstable, in a directory of its own), then the calls through it; as root
	@provisioning/setup.sh test
	@tests/rig/asterisk.sh .cache/asterisk
	@HANDSET_ASTERISK="$(CURDIR)/.cache/asterisk" $(BIN)/python -m pytest -m asterisk tests/system/test_sip_asterisk.py $(ARGS)

linphone: ## calls with linphone, where it is installed (apt-get install linphone-cli)
	@provisioning/setup.sh test
	@HANDSET_LINPHONE=1 $(BIN)/python -m pytest tests/system/test_sip_linphone.py $(ARGS)

kiosk: ## the kiosk page in a real browser (apt-get install chromium), its buttons pressed
	@provisioning/setup.sh test
	@HANDSET_BROWSER=chromium $(BIN)/python -m pytest tests/system/test_kiosk_page.py $(ARGS)

booted: ## a Debian under its own systemd (made once, in a directory of its own), and the service in it; as root
	@provisioning/setup.sh test
	@tests/rig/booted_system.sh .cache/booted
	@HANDSET_BOOTED="$(CURDIR)/.cache/booted" $(BIN)/python -m pytest -m booted tests/system/test_service_booted.py tests/system/test_provisioning_booted.py $(ARGS)

network: ## Debian's NetworkManager (made once, in a directory of its own), and what set-up and DHCP make of it; as root
	@provisioning/setup.sh test
	@tests/rig/network_manager.sh .cache/network-manager
	@HANDSET_NETWORK_MANAGER="$(CURDIR)/.cache/network-manager" $(BIN)/python -m pytest -m network tests/system/test_network_manager.py $(ARGS)

fleet: ## a trixie with RAUC and the client of a hawkBit server (made once, in a directory of its own), updated by one; as root
	@provisioning/setup.sh image
	@tests/rig/fleet.sh .cache/fleet
	@HANDSET_FLEET="$(CURDIR)/.cache/fleet" $(BIN)/python -m pytest tests/loader/test_fleet.py $(ARGS)

image: ## the SD image, into build/image: half an hour the first time, then minutes; as root (FRESH=1 takes today's packages)
	@provisioning/setup.sh image
	@$(BIN)/python -m image $(if $(FLAVOUR),--flavour $(FLAVOUR)) $(if $(FRESH),--fresh) $(ARGS)

image-test: image ## boots that image on an emulated board: settings from the card, room, call, panel, update, the plug pulled (HANDSET_PULLS=20)
	@HANDSET_IMAGE="$(CURDIR)/build/image" $(BIN)/python -m pytest -m image --timeout 7200 -o log_cli=true tests/image $(ARGS)

boot-loader: ## the boot loader's script in U-Boot on an emulated board, and RAUC's part with our handlers; as root
	@provisioning/setup.sh image
	@HANDSET_UBOOT=/usr/lib/u-boot/qemu_arm64/u-boot.bin $(BIN)/python -m pytest tests/loader $(ARGS)

image-compare: image ## builds that image a second time, from Debian's packages on (an hour; FROM=initramfs is shorter), and says what differs
	@HANDSET_FROM="$(or $(FROM),packages)" image/compare.sh "$(CURDIR)/.cache/image" "$(CURDIR)/.cache/image-again"

release: ## the application alone, signed, into build/release: for `handset update`; from a clean commit, as root (HANDSET_RELEASE_KEY=file)
	@provisioning/setup.sh image
	@$(BIN)/python -m image --release --out build/release $(ARGS)

pjsua2: ## the SIP library compiled from source, in place of the wheel
	@provisioning/setup.sh pjsua2

lock: ## requirements*.txt anew from pyproject.toml (UPGRADE=1 takes the newest versions)
	@test -x .cache/uv/bin/uv || { python3 -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet --require-hashes -r requirements-install.txt; }
	@$(COMPILE) --group pyproject.toml:install -o requirements-install.txt
	@$(COMPILE) --group pyproject.toml:build -o requirements-build.txt
	@$(COMPILE) --group pyproject.toml:pjsua2 -o requirements-pjsua2.txt
	@$(COMPILE) pyproject.toml -o requirements.txt
	@$(COMPILE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	@! grep -nE '://|--(extra-)?index-url|--find-links' requirements*.txt

clean: ## removes what was made here, .venv and caches, but not .state
	@rm -rf .venv .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find appliance drivers provisioning tests -name __pycache__ -prune -exec rm -rf {} +
