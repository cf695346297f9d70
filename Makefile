# Ringfort. The two commands a newcomer needs are `make run` and `make test`.
export CGO_ENABLED = 0
GO ?= go
BIN := bin/runsc
SHIM := bin/containerd-shim-runsc-v1

.PHONY: all run test test-engines test-engines-light unit e2e vet docs bench clean deps-run deps-test deps-engines deps-bench

all: $(BIN) $(SHIM)

$(BIN): FORCE
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '-s -w' -o $(BIN) ./runsc

$(SHIM): FORCE
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '-s -w' -o $(SHIM) ./runsc/shim/containerd-shim-runsc-v1

FORCE:

# run shows the main job: a shell behind the Sentry, and the kernel it sees.
run: deps-run $(BIN)
	@echo '--- a shell command behind the Sentry:'
	@mkdir -p bin/run/rootfs && cp /bin/busybox bin/run/rootfs/busybox
	@cp test/run.json bin/run/config.json
	@cd bin/run && ../runsc run ringfort-demo-$$$$

# test runs vet, unit tests, the tests of the real binary, and those with the engines that come as packages.
test: deps-test vet unit e2e test-engines-light

vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

unit:
	$(GO) test -timeout 10m $$($(GO) list ./... | grep -v '^ringfort/test/')

# e2e tests the real binary; what the default platform does with one core only is another matter than with several.
e2e: $(BIN)
	RUNSC=$(CURDIR)/$(BIN) $(GO) test -timeout 20m -count=1 -p 1 $$($(GO) list ./test/... | grep -v /test/engines/)
	cpu=$$(taskset -cp $$$$ | grep -o '[0-9]*$$'); RINGFORT_PLATFORMS=systrap RUNSC=$(CURDIR)/$(BIN) \
		taskset -c $$cpu $(GO) test -timeout 10m -count=1 -p 1 ./test/conformance ./test/workloads

# test-engines-light drives Docker, podman and the OCI validation programs, if the machine can run them.
test-engines-light: $(BIN)
	@if ! why=$$(test/engines/able.sh 2>&1); then echo "SKIPPED: the tests with Docker, podman and the OCI validation programs: $$why"; exit 0; fi; \
	set -ex; test/install.sh engines-light; \
	RUNSC=$(CURDIR)/$(BIN) $(GO) test -timeout 15m -count=1 -p 1 -parallel 4 ./test/engines/docker ./test/engines/podman ./test/engines/oci

# test-engines drives all container engines, with daemons of its own, that run containers with the binary.
# What needs Kubernetes' client libraries is a module of its own.
test-engines: deps-engines $(BIN) $(SHIM)
	RUNSC=$(CURDIR)/$(BIN) $(GO) test -timeout 30m -count=1 -p 1 -parallel 4 ./test/engines/...
	cd test/engines/containerd && RUNSC=$(CURDIR)/$(BIN) $(GO) test -timeout 30m -count=1 .

# bench measures the binary beside native Linux, and with BENCHFLAGS="--peer=PATH"
# beside another OCI runtime; --write writes docs/performance.*.
bench: deps-bench $(BIN)
	RUNSC=$(CURDIR)/$(BIN) $(GO) run ./test/bench $(BENCHFLAGS)

# docs writes the pages that are generated from the code.
docs: $(BIN)
	@{ echo '# System calls'; echo; echo 'Generated from the table by `make docs`. A call that is not listed returns ENOSYS and is logged once by name.'; echo; $(BIN) syscalls --format markdown; } > docs/compatibility.md
	@{ echo '# Commands and options'; echo; echo 'What `runsc help --all` says; written by `make docs`.'; echo; echo '```'; $(BIN) help --all; echo '```'; } > docs/flags.md

deps-run:
	@test/install.sh run

deps-test:
	@test/install.sh test

deps-engines:
	@test/install.sh engines

deps-bench:
	@test/install.sh bench

clean:
	rm -rf bin
