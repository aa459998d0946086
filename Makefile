# make demo   trains, exports, simulates and verifies a network on real digits
# make test   checks style, types and imports, and passes the tests; make test-long adds long ones, make parity other libraries
# make lava   sets up Lava's own environment (Python 3.10), which the demo uses when it is there; the tests in Lava are long
# make test-versions   passes the core tests on Python 3.12 and 3.13, where these interpreters are found
# All set up .venv when it is missing. PYTHON=python3.12 chooses another interpreter (3.11 to 3.13).

PYTHON ?= python3
BIN := .venv/bin
RUN := runs/demo
LONG := tests/conformance tests/lava tests/unit/test_examples.py tests/unit/test_training_distributed.py

.PHONY: demo test test-long test-versions setup lint lava parity peers simulators browser bench clean

demo: setup
	$(BIN)/tdd-deploy train --data digits --out $(RUN) $$(test -e $(RUN)/train.json && echo --resume)
	$(BIN)/tdd-deploy export $(RUN) --target nir --out $(RUN)/digits.nir
	$(BIN)/tdd-deploy inspect $(RUN)/digits.nir
	$(BIN)/tdd-deploy train --data digits --method ann --out $(RUN)-ann $$(test -e $(RUN)-ann/train.json && echo --resume)
	$(BIN)/tdd-deploy simulate $(RUN)/digits.nir --data digits --energy --baseline $(RUN)-ann --out $(RUN)/report
	$(BIN)/tdd-deploy check $(RUN)/digits.nir --chip loihi2
	$(BIN)/tdd-deploy export $(RUN)/digits.nir --target lava --out $(RUN)/lava --data digits
	$(BIN)/tdd-deploy verify $(RUN) --data digits --samples 10
	@echo "report: $(RUN)/report/report.html"

test: lint
	$(BIN)/python -m pytest -n 2 --ignore tests/parity $(addprefix --ignore ,$(LONG))

# All random examples of tests/property, of which make test tries a third; trained networks, Lava, examples, torchrun.
test-long: setup
	TDD_DEPLOY_LONG_TESTS=1 $(BIN)/python -m pytest -n 2 tests/property $(LONG)

# The core tests on Python 3.12 and 3.13, where these interpreters are found.
test-versions:
	.ci/test-versions

.venv-3.12/installed .venv-3.13/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lava: setup
	$(BIN)/tdd-deploy lava setup
	$(BIN)/tdd-deploy lava doctor

# axe-core, for tests/browser, which also need Chromium: rules of accessibility for report.html.
browser: .browser/installed

.browser/installed: Makefile
	npm install --prefix .browser --no-save --silent axe-core@4.14.1
	@touch $@

# Each pins what we do not, so they live in environments of their own.
parity: setup .venv-neurobench/installed .venv-syops/installed peers simulators .venv-openvino/installed
	$(BIN)/python -m pytest tests/parity -rs --ignore tests/parity/test_openvino.py --ignore tests/parity/test_tract.py
	.venv-openvino/bin/python -m pytest tests/parity/test_openvino.py tests/parity/test_tract.py -rs

# The engine beside other libraries, simulators, and the machine's bound: half an hour.
bench: setup peers simulators
	test -e runs/tdd-ddla/network.nir || \
		$(BIN)/tdd-deploy train --data digits --method tdd-ddla --keep 0.2 --penalty-weight 1.2 --batch 32 --out runs/tdd-ddla
	$(BIN)/python -m benchmarks.engine.bound
	$(BIN)/python -m benchmarks.engine.speed runs/tdd-ddla --data digits
	$(BIN)/python -m benchmarks.engine.speed runs/tdd-ddla --data digits --samples 16 --simulators
	$(BIN)/python -m benchmarks.engine.speed --shape conv-medium --rounds 5
	$(BIN)/python -m benchmarks.engine.speed --shape resnet19 --samples 4 --rounds 3 --rates 0.01,0.03,0.1,0.2
	$(BIN)/python -m benchmarks.report

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { $(PYTHON) --version; echo 'Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...'; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# What counts operations in torch networks; sinabs imports nir, pbr and matplotlib, and counts without them.
.venv-neurobench/installed: constraints.txt Makefile
	$(PYTHON) -m venv .venv-neurobench
	.venv-neurobench/bin/python -m pip install --quiet --constraint constraints.txt torch numpy nir pbr matplotlib
	.venv-neurobench/bin/python -m pip install --quiet --no-deps neurobench==2.3.0 sinabs==3.1.3 nirtorch==2.6
	@touch $@

# syops counts in networks of SpikingJelly as it was in 2022.
.venv-syops/installed: constraints.txt Makefile
	$(PYTHON) -m venv .venv-syops
	.venv-syops/bin/python -m pip install --quiet --constraint constraints.txt torch numpy progress==1.6.1
	.venv-syops/bin/python -m pip install --quiet --no-deps syops==0.0.5 spikingjelly==0.0.0.0.12
	@touch $@

# Other libraries, for benchmarks/ and tests/parity/. What they ask for beyond this is not needed, or pins what we do not.
# The last packages are Qualia, for its estimate of energy, and what it imports.
peers: .venv-peers/installed

.venv-peers/installed: constraints.txt Makefile
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train]' loguru tqdm pbr matplotlib \
		msgpack PyYAML ndindex==1.10.1 numexpr==2.14.2
	.venv-peers/bin/python -m pip install --quiet --no-deps spikingjelly==2.0.0 snntorch==1.0.0 norse==1.1.0 \
		sinabs==3.1.3 nirtorch==2.6 \
		qualia-core==2.6.0 qualia-codegen-core==2.6.0 qualia-plugin-snn==2.6.0 qualia-codegen-plugin-snn==2.6.0 \
		lightning==2.6.6 lightning-utilities==0.15.3 torchmetrics==1.9.0 blosc2==4.14.1 httpx==0.28.1 idna==3.20 tomlkit==0.15.2
	@touch $@

# Event-driven simulators, for benchmarks/; SANA-FE for tests/parity/, too. Brian2 2.9 asks for a numpy that has ndarray.ptp.
simulators: .venv-simulators/installed

.venv-simulators/installed: Makefile
	$(PYTHON) -m venv .venv-simulators
	.venv-simulators/bin/python -m pip install --quiet sanafe==2.2.9 brian2==2.9.0 'numpy<2.3'
	@touch $@

# Other runtimes of exported ONNX models, as a user installs them: without torch.
.venv-openvino/installed: pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv .venv-openvino
	.venv-openvino/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[onnx,openvino]' \
		pytest hypothesis tract==0.23.9
	@touch $@

clean:
	rm -rf .browser .venv .venv-3.12 .venv-3.13 .venv-neurobench .venv-openvino .venv-peers .venv-simulators .venv-syops runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
