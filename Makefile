# Every target works from a fresh clone; "make" alone says which there are.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help deb debianize check test story faults fleet bench install repository demo pictures tables packages root

# Root builds, runs and installs nothing that somebody else can change meanwhile, and writes
# nothing where somebody else may have put a link.
ifeq ($(shell id -u),0)
OTHERS := $(shell debian/make-apart --others)
# The demo leaves nothing here.
ifneq ($(filter demo,$(MAKECMDGOALS)),)
OTHERS := .
endif
endif

VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
DEB := build/hx-gateway-db_$(VERSION)_all.deb
SOURCES := setup.py stdeb.cfg MANIFEST.in hx_gateway_db templates debian
SHELL_SCRIPTS := debian/debianize debian/make-apart $(addprefix debian/tests/,smoke gateway install-stand-in) $(addprefix debian/hx-gateway-db.,config postinst prerm postrm) .ci/run debian/make-install bench/peers/specification.sh
VENV := .venv
PYTHON := $(VENV)/bin/python

help: ## Say what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

ifneq ($(OTHERS),)
GOALS := $(filter-out help,$(MAKECMDGOALS))
ifneq ($(GOALS),)
.PHONY: $(GOALS)
$(GOALS):
	@debian/make-apart $@
endif
else

deb: $(DEB) ## Build the package, binary and source, into build/

# In a copy, so that the checkout stays as it is. build/repository has what was published before.
$(DEB): $(shell find $(SOURCES) ! -path '*/__pycache__*')
	@dpkg-checkbuilddeps || { echo "'sudo apt-get build-dep .' installs what the build needs."; exit 1; }
	rm -rf build/source build/hx-gateway-db_*
	mkdir -p build/source
	cp -a $(SOURCES) build/source
	cd build/source && dpkg-buildpackage --build=full --unsigned-source --unsigned-changes

debianize: $(VENV)/ready ## Write debian/control and debian/rules anew with stdeb
	debian/debianize "$(PYTHON)" debian

tables: $(VENV)/ready ## Write anew what stands in docs, manual and scripts because of the code
	$(PYTHON) debian/write-answers
	$(PYTHON) docs/write-tables
	$(PYTHON) ansible/write-role

check: NEEDED = tests/unit/packages.txt
check: packages $(VENV)/ready ## The tests that take seconds and need no root
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	shellcheck $(SHELL_SCRIPTS)
	$(PYTHON) -m pytest -q --numprocesses auto tests/unit --cov --cov-report=term:skip-covered

# The long stories begin first, so that no core waits for one at the end.
MACHINES = tests/machine tests/faults tests/package
test: root packages ## All tests, those on booted machines last (as root)
	$(MAKE) check
	$(MAKE) deb
	HX_DEB=$(DEB) $(PYTHON) -m pytest --verbose --numprocesses 3 --dist loadgroup --durations 10 \
	    $(MACHINES)

faults: root packages $(VENV)/ready ## All tests on both releases with every fault there is, and count the harm (as root; hours)
	$(MAKE) deb
	HX_FAULTS=all HX_DEB=$(DEB) $(PYTHON) -m pytest --verbose --numprocesses 2 --dist loadgroup \
	    $(MACHINES)

STORY = tests/machine/test_life.py
story: root packages $(VENV)/ready ## One story on one machine: STORY=tests/machine/test_life.py (as root)
	$(MAKE) deb
	HX_RELEASES=$${HX_RELEASES:-bookworm} HX_DEB=$(DEB) $(PYTHON) -m pytest --verbose $(STORY)

fleet: root packages $(VENV)/ready ## Three gateways rolled out by Ansible while a client asks them (as root)
	$(MAKE) deb
	HX_DEB=$(DEB) $(PYTHON) -m tests.machine.fleet

bench: root packages $(VENV)/ready ## Measure beside peers, and print the table (as root)
	$(MAKE) deb
	HX_DEB=$(DEB) $(PYTHON) -m bench

install: root ## Build, and install here with PostgreSQL and Redis beside it (as root)
	apt-get update
	apt-get build-dep --yes ./
	$(MAKE) deb
	debian/make-install $(DEB)

repository: ## Build a signed apt repository into build/ (KEY=FINGERPRINT URL=https://...)
	$(MAKE) deb
	/usr/bin/python3 -m repository publish build/repository $(DEB) \
	    --keys "$${KEY:-}" --url "$${URL:-}"

demo: NEEDED = tests/machine/packages.txt
demo: root packages ## Show the whole story in a throwaway machine (as root; minutes the first time)
	HX_DEB=$(DEB) /usr/bin/python3 -m tests.machine.demo

pictures: root packages $(VENV)/ready ## Draw docs/pictures anew from what a machine shows (as root)
	$(MAKE) deb
	HX_DEB=$(DEB) $(PYTHON) -m tests.machine.pictures

# The Debian packages that the tests need; some targets need only those of one kind.
NEEDED = tests/unit/packages.txt tests/machine/packages.txt tests/packages.txt
packages:
	@missing=$$(dpkg-query --show --showformat='$${db:Status-Abbrev}$${Package}\n' \
	    $$(cat $(NEEDED)) 2>&1 | sed -n 's/^ii .*//; s/.* //; /./p'); \
	if [ -z "$$missing" ]; then \
	    :; \
	elif [ "$$(id -u)" -ne 0 ]; then \
	    echo "'sudo make packages' installs what is missing here:" $$missing; \
	else \
	    apt-get update && \
	    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
	        $$(cat $(NEEDED)); \
	fi

# Debian's own Python libraries, as on a host, and the tools of the tests from PyPI.
$(VENV)/ready: tests/requirements.txt
	/usr/bin/python3 -m venv --system-site-packages $(VENV)
	$(PYTHON) -m pip install --quiet --require-hashes --no-deps --only-binary=:all: \
	    --requirement tests/requirements.txt
	touch $@

root:
	@[ "$$(id -u)" -eq 0 ] || { echo "This changes the machine: run it as root, with 'sudo make $(MAKECMDGOALS)'."; exit 1; }

endif
