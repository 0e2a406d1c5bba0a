# clawfs. `make help` lists the targets; README.md says what it is.

VERSION  := 0.1.0
BUILD    ?= build
DIR      ?= $(HOME)/.secureclaw
PREFIX   ?= /usr/local
DESTDIR  ?=

CC       ?= cc
CFLAGS   ?= -O2 -g
# What a caller's CFLAGS must not take away.
STD      := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=314 -DCLAWFS_VERSION='"$(VERSION)"' -I.
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wformat=2 -Wno-unused-parameter
# What the compiler has of these; the names differ with the processor.
supported = $(foreach flag,$(1),$(shell $(CC) -Werror $(flag) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(flag)))
HARDEN_MORE := $(call supported,-fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
HARDEN   ?= -fstack-protector-strong -D_FORTIFY_SOURCE=3 -fPIE $(HARDEN_MORE)
LDHARDEN ?= -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code
# Expanded when used, so that `make deps` can bring the libraries first.
FUSE_CFLAGS   = $(shell pkg-config --cflags fuse3)
LIBS          = $(shell pkg-config --libs fuse3 libseccomp) -lz -lsqlite3 -lpthread
CMOCKA_LIBS   = -lcmocka
ALL_CFLAGS    = $(STD) $(WARN) $(HARDEN) $(FUSE_CFLAGS) $(CFLAGS)

POLICY_SRC := $(wildcard policy/*.c)
FS_SRC     := $(wildcard fs/*.c)
POLICY_OBJ := $(POLICY_SRC:%.c=$(BUILD)/obj/%.o)
FS_OBJ     := $(FS_SRC:%.c=$(BUILD)/obj/%.o)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
UNIT_BIN   := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
MODEL_SRC  := $(wildcard tests/model/*.c)
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN   := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)
BENCH_BIN  := $(addprefix $(BUILD)/bench/,load ops slowcard)
CRASH_TOOLS := blockrec cutimage
CRASH_LIB  := preload
CRASH_SRC  := $(filter-out $(CRASH_TOOLS:%=tests/crash/%.c) $(CRASH_LIB:%=tests/crash/%.c),$(wildcard tests/crash/*.c))
CRASH_BIN  := $(addprefix $(BUILD)/crash/,crash $(CRASH_TOOLS) $(CRASH_LIB:%=%.so))
CTL_SRC    := $(wildcard tools/clawfsctl/*.c)
CTL_OBJ    := $(CTL_SRC:%.c=$(BUILD)/obj/%.o)
MAN_PAGES   = $(patsubst tools/man/%.in,$(BUILD)/man/%,$(wildcard tools/man/*.in))
C_FILES     = $(wildcard policy/*.[ch] fs/*.[ch] tests/*/*.[ch] tools/*/*.[ch])

.DEFAULT_GOAL := all
.PHONY: help deps deps-build all build-tests run bench bench-build bench-ops bench-scale test unit fuzz fuzz-replay model mount crash fault soak results build-debug asan tsan valgrind lint format boot-test screenshot-top install uninstall clean
.DELETE_ON_ERROR:
# Test tiers share mounts, loop devices and a small machine: one after the other.
.NOTPARALLEL: test asan tsan

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14
	@echo
	@echo '  Variables: DIR=$(DIR) (run), PREFIX=$(PREFIX) DESTDIR= (install), CC, CFLAGS, BUILD=$(BUILD)'

deps: ## install everything that building and testing needs (apt-get; as root)
	@tools/deps.sh test

deps-build: # what `make run` needs: a compiler and the libraries
	@tools/deps.sh build

all: $(BUILD)/clawfs $(BUILD)/clawfsctl ## build/clawfs, build/clawfsctl

run: deps-build ## mount over DIR, and say where the stats are
	@$(MAKE) --no-print-directory all
	@tools/run.sh $(BUILD)/clawfs '$(DIR)'

test: deps ## everything: all tiers, sanitizers, valgrind, lint
	@$(MAKE) --no-print-directory -j$(shell nproc) build-tests
	@MAKE='$(MAKE)' tools/test.sh 'unit+lint+valgrind+fuzz-replay' 'model+mount RETRY=1+crash KILLS=20 CUTS=4 CUT_SECONDS=3+fault FAULTS=12+asan RETRY=1'

build-tests: all $(UNIT_BIN) $(BUILD)/model $(BENCH_BIN) $(CRASH_BIN)

unit: $(UNIT_BIN) ## cmocka, no mount, seconds
	@tools/each.sh -- $(UNIT_BIN)

# What each fuzz target links, besides itself.
FUZZ_names := policy/logname.c policy/classify.c policy/rules.c policy/nearest.c policy/types.c
FUZZ_conf := policy/alias.c policy/classify.c policy/config.c policy/conftext.c policy/nearest.c policy/options.c policy/rules.c policy/types.c
FUZZ_jsonpos := policy/jsonpos.c
FUZZ_zview := fs/zview.c fs/gunzip.c fs/lower.c
FUZZ_policy := $(POLICY_SRC)
FUZZ_recover := $(filter-out fs/main.c,$(FS_SRC)) $(POLICY_SRC)
CLANG      ?= clang
FUZZ_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
SECONDS    ?= 60

# What it finds to be new stays under build/; a crash is left in build/fuzz/.
fuzz: $(FUZZ_BIN) ## each fuzz target for SECONDS=60, with clang's libFuzzer
	@set -e; for t in $(FUZZ_BIN); do name=$${t##*/fuzz_}; echo "== fuzz $$name"; mkdir -p $(BUILD)/fuzz/new/$$name; \
	  $$t -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=$(BUILD)/fuzz/ \
	    $(BUILD)/fuzz/new/$$name tests/fuzz/corpus/$$name; done

fuzz-replay: $(FUZZ_BIN) ## the fuzz targets on their corpora, seconds
	@set -e; for t in $(FUZZ_BIN); do name=$${t##*/fuzz_}; echo "== fuzz-replay $$name"; \
	  $$t -runs=0 -timeout=10 -artifact_prefix=$(BUILD)/fuzz/ tests/fuzz/corpus/$$name 2>$$t.log || { cat $$t.log; exit 1; }; done

model: $(BUILD)/clawfs $(BUILD)/model ## random operations on a mount and on a plain directory, compared
	tests/model/run.sh $(BUILD)/clawfs $(BUILD)/model

mount: $(BUILD)/clawfs $(BUILD)/clawfsctl $(BENCH_BIN) ## real mounts, real programs
	tests/mount/run.sh $(BUILD)/clawfs

KILLS       ?= 100
CUTS        ?= 20
CUT_SECONDS ?= 10
SEED        ?= 1
crash: $(BUILD)/clawfs $(CRASH_BIN) ## kill -9 (KILLS=100) and power cuts (CUTS=20) under the mixed load, judged to the byte (SEED=1)
	tests/crash/kills.sh $(BUILD)/clawfs $(BUILD)/crash kills=$(KILLS) seed=$(SEED)
	tests/crash/kills.sh $(BUILD)/clawfs $(BUILD)/crash mode=points kills=$(KILLS) seed=$(SEED)
	tests/crash/cuts.sh $(BUILD)/clawfs $(BUILD)/crash fs=ext4 cuts=$(CUTS) seed=$(SEED) seconds=$(CUT_SECONDS)

FAULTS ?= 60
fault: $(BUILD)/clawfs $(CRASH_BIN) ## system calls on lower and upper that fail (FAULTS=60 combinations, SEED=1)
	tests/crash/kills.sh $(BUILD)/clawfs $(BUILD)/crash mode=faults kills=$(FAULTS) each=1000 seed=$(SEED)

MINUTES ?= 5
soak: $(BUILD)/clawfs $(CRASH_BIN) ## the mixed load for MINUTES=5, with kills, flushes, full RAM, clock steps; leaks
	tests/crash/kills.sh $(BUILD)/clawfs $(BUILD)/crash mode=soak kills=1 seed=$(SEED) minutes=$(MINUTES)

# With the points that only debug builds have (fs/crashpoint.h).
build-debug:
	@$(MAKE) --no-print-directory BUILD=build/debug HARDEN= CFLAGS="-O1 -g -DCLAWFS_DEBUG" build/debug/clawfs

RESULTS ?=
results: $(BUILD)/clawfs $(CRASH_BIN) $(FUZZ_BIN) build-debug ## all of these into tests/RESULTS.md (RESULTS='kills=1000 cuts=200 minutes=30')
	tests/crash/results.sh $(BUILD)/clawfs $(BUILD)/crash debug=build/debug/clawfs $(RESULTS)

SAN := -O1 -g -fno-omit-frame-pointer

asan: ## unit, model and mount with AddressSanitizer and UBSan
	@LSAN_OPTIONS="suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0"; export LSAN_OPTIONS; \
	for what in '-j$(shell nproc) build-tests' unit model mount; do \
	  $(MAKE) $$what BUILD=build/asan HARDEN= CFLAGS="$(SAN) -fsanitize=address,undefined -fno-sanitize-recover=all -DCLAWFS_DEBUG" || exit; \
	done

tsan: ## unit, model and mount with ThreadSanitizer
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp halt_on_error=1 exitcode=66" \
	$(MAKE) BUILD=build/tsan HARDEN= CFLAGS="$(SAN) -fsanitize=thread -DCLAWFS_DEBUG" unit model mount

# Debian 12's valgrind does not know openat2(2), without which nothing is opened on a lower (fs/lower.h): AddressSanitizer
# has to do for what applies a rescue to one.
VALGRIND_BIN := $(filter-out %/test_rescue,$(UNIT_BIN))
valgrind: $(UNIT_BIN) ## the unit tier under valgrind
	@tools/each.sh valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect,possible -- $(VALGRIND_BIN)

BENCH ?=
bench-build: # what the benchmarks need
	@tools/deps.sh bench
	@$(MAKE) --no-print-directory all $(BENCH_BIN)

bench: bench-build ## the mixed load on clawfs and on what one could use instead (as root; BENCH='--quick clawfs ext4')
	@tools/bench/run.sh $(BUILD) $(BENCH)

bench-ops: bench-build ## single operations, and the FUSE requests of each (as root)
	@tools/bench/ops.sh $(BUILD) $(BENCH)

bench-scale: bench-build ## what a directory of 1, 10 and 100 times as much costs (as root)
	@tools/bench/scale.sh $(BUILD) $(BENCH)

lint: all ## compiler analyzers, clang-tidy, cppcheck, layout, what policy/ imports
	tools/lint.sh $(BUILD)

format: ## put the sources in the project's layout
	clang-format -i $(C_FILES)

# What `clawfs -h` says of its options stands in the page.
$(BUILD)/man/%: tools/man/%.in tools/man/options.sh $(BUILD)/clawfs
	@mkdir -p $(@D)
	@tools/man/options.sh $(BUILD)/clawfs $< > $@

screenshot-top: all ## make tools/clawfsctl/top.svg anew, under a minute of load
	tools/clawfsctl/screenshot.sh $(BUILD) tools/clawfsctl/top.svg

boot-test: all ## boot systemd in a container, power it off under writers, look at the card (15 s; as root)
	@tools/deps.sh boot
	tests/boot/run.sh $(BUILD)

# mount(8) and umount(8) look for their helpers in /sbin alone; systemd and man(1) also under PREFIX.
SBIN      ?= /sbin
UNITDIR   ?= $(PREFIX)/lib/systemd
MANDIR    ?= $(PREFIX)/share/man
COMPDIR   ?= $(PREFIX)/share/bash-completion/completions
DOCDIR    ?= $(PREFIX)/share/doc/clawfs
UNITS     := system/clawfs@.service system/clawfs.target system/user@.service.d/10-clawfs.conf user/clawfs@.service
HELPERS   := mount.clawfs mount.fuse.clawfs
UHELPERS  := umount.clawfs umount.fuse.clawfs

install: all $(MAN_PAGES) ## install under $(DESTDIR)$(PREFIX), and the mount helpers in $(DESTDIR)$(SBIN)
	install -D -m 0755 $(BUILD)/clawfs '$(DESTDIR)$(PREFIX)/sbin/clawfs'
	install -D -m 0755 $(BUILD)/clawfsctl '$(DESTDIR)$(PREFIX)/bin/clawfsctl'
	install -d -m 0755 '$(DESTDIR)$(SBIN)' '$(DESTDIR)$(COMPDIR)'
	@set -e; for name in $(HELPERS); do ln -sf '$(PREFIX)/sbin/clawfs' "$(DESTDIR)$(SBIN)/$$name"; done; \
	  for name in $(UHELPERS); do ln -sf '$(PREFIX)/bin/clawfsctl' "$(DESTDIR)$(SBIN)/$$name"; done; \
	  for unit in $(UNITS); do install -d -m 0755 "$(DESTDIR)$(UNITDIR)/$$(dirname $$unit)"; \
	    sed 's|@PREFIX@|$(PREFIX)|g' tools/systemd/$$unit >"$(DESTDIR)$(UNITDIR)/$$unit"; \
	    chmod 0644 "$(DESTDIR)$(UNITDIR)/$$unit"; done
	@set -e; for page in $(MAN_PAGES); do \
	  install -D -m 0644 $$page "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; done
	install -D -m 0644 tools/completion/clawfs.bash '$(DESTDIR)$(COMPDIR)/clawfs'
	ln -sf clawfs '$(DESTDIR)$(COMPDIR)/clawfsctl'
	install -D -m 0644 README.md '$(DESTDIR)$(DOCDIR)/README.md'
	install -D -m 0644 LICENSE '$(DESTDIR)$(DOCDIR)/LICENSE'
	install -D -m 0644 tools/systemd/home-pi-.secureclaw.mount '$(DESTDIR)$(DOCDIR)/examples/home-pi-.secureclaw.mount'

# Directories that others may use stay, unless they are empty and ours by name.
uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(PREFIX)/sbin/clawfs' '$(DESTDIR)$(PREFIX)/bin/clawfsctl'
	@set -e; for name in $(HELPERS) $(UHELPERS); do rm -f "$(DESTDIR)$(SBIN)/$$name"; done; \
	  for unit in $(UNITS); do rm -f "$(DESTDIR)$(UNITDIR)/$$unit"; done; \
	  for page in $(MAN_PAGES); do rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; done
	rm -f '$(DESTDIR)$(COMPDIR)/clawfs' '$(DESTDIR)$(COMPDIR)/clawfsctl'
	rm -rf '$(DESTDIR)$(DOCDIR)'
	@rmdir '$(DESTDIR)$(UNITDIR)/system/user@.service.d' 2>/dev/null || true

clean: ## remove build/
	rm -rf build

# A change of flags or compiler rebuilds everything.
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' > $@
FORCE:

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC $<'
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libclawfs.a: $(filter-out %/main.o,$(FS_OBJ)) $(POLICY_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/clawfs: $(BUILD)/obj/fs/main.o $(BUILD)/libclawfs.a
	@echo '  LD $@'
	@$(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) $^ -o $@ $(LIBS)

$(BUILD)/clawfsctl: $(CTL_OBJ) $(BUILD)/libclawfs.a
	@echo '  LD $@'
	@$(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) $^ -o $@ $(LIBS)

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libclawfs.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_CFLAGS) $(LDHARDEN) $(LDFLAGS) -MMD -MP $< $(BUILD)/libclawfs.a -o $@ $(CMOCKA_LIBS) $(LIBS)

$(BUILD)/model: $(MODEL_SRC) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(STD) $(WARN) -O1 -g $(MODEL_SRC) -o $@

# What each program of the benchmark links, besides itself.
BENCH_load     := plan run check scale watch content appio memory series die
BENCH_ops      := ops_table trace content appio memory series die
BENCH_slowcard := die
bench_objects   = $(patsubst %,$(BUILD)/obj/tools/bench/%.o,$(1) $(BENCH_$(1)))

.PRECIOUS: $(BUILD)/obj/%.o
.SECONDEXPANSION:
$(BUILD)/bench/%: $$(call bench_objects,$$*)
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) $^ -o $@ $(LIBS) -lm

$(BUILD)/crash/crash: $(CRASH_SRC) $(wildcard tests/crash/*.h) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(STD) $(WARN) -O1 -g $(CRASH_SRC) -o $@ -lsqlite3 -lpthread

$(BUILD)/crash/%.so: tests/crash/%.c tests/crash/faultpage.h $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -shared -fPIC $< -o $@ -ldl

$(BUILD)/crash/%: tests/crash/%.c tests/crash/blocklog.h $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(STD) $(WARN) $(FUSE_CFLAGS) -O1 -g $< -o $@ $(LIBS)

# For tests/measure/gzip.sh.
$(BUILD)/measure/gzip: tests/measure/gzip.c $(BUILD)/libclawfs.a
	@mkdir -p $(@D)
	@echo '  LD $@'
	@$(CC) $(ALL_CFLAGS) $(LDHARDEN) $(LDFLAGS) $< $(BUILD)/libclawfs.a -o $@ -lz

# Always with clang and its own flags, whatever the rest is built with.
$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(wildcard fs/*.[ch] policy/*.[ch])
	@mkdir -p $(@D)
	@echo '  CLANG $@'
	@$(CLANG) $(STD) $(WARN) $(FUZZ_FLAGS) $(FUSE_CFLAGS) $< $(FUZZ_$*) -o $@ $(LIBS)

-include $(patsubst tools/%.c,$(BUILD)/obj/tools/%.d,$(wildcard tools/bench/*.c))
-include $(POLICY_OBJ:.o=.d) $(FS_OBJ:.o=.d) $(CTL_OBJ:.o=.d) $(UNIT_BIN:=.d)
