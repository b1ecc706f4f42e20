#!/bin/sh
# Builds mediasoup-worker from the sources that ship in the mediasoup npm
# package, using Debian 12 packages in place of mediasoup's meson subprojects.
#
#   build.sh <mediasoup package dir> <output binary>
#
# Only reads the package directory. Environment:
#
#   JOBS             parallel compiler jobs (default 2)
#   BUILD_DIR        where to build (default: a temporary folder, removed at the
#                    end). Give one to get incremental builds: whatever is in it
#                    is whole, also after a build that was killed.
#   SRTP_BACKEND     openssl (default): compile Debian's libsrtp2 2.5.0 source
#                    against OpenSSL and link it statically.
#                    nss: link Debian's libsrtp2 binary package dynamically (it is
#                    built on NSS, for which no static library exists); then the
#                    result needs the package libsrtp2-1 at run time.
#   LIBSRTP2_TARBALL path of libsrtp2_2.5.0.orig.tar.gz (default: fetch it)
#   LIBSRTP2_URL     folder to fetch it from (default: where apt has libsrtp2-dev)
#   CXX, CC, OPTFLAGS (default "-O3 -DNDEBUG"), LDFLAGS (default "-static-libstdc++
#                    -static-libgcc")
set -eu

die() { echo "build.sh: $*" >&2; exit 1; }

[ $# -eq 2 ] || die "usage: build.sh <mediasoup package dir> <output binary>"

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
pkg=$(CDPATH='' cd -- "$1" && pwd)
worker=$pkg/worker
mkdir -p "$(dirname -- "$2")"
output=$(CDPATH='' cd -- "$(dirname -- "$2")" && pwd)/$(basename -- "$2")

JOBS=${JOBS:-2}
SRTP_BACKEND=${SRTP_BACKEND:-openssl}
CC=${CC:-gcc}
CXX=${CXX:-g++}
OPTFLAGS=${OPTFLAGS:--O3 -DNDEBUG}
LDFLAGS=${LDFLAGS--static-libstdc++ -static-libgcc}
libsrtp2_file=libsrtp2_2.5.0.orig.tar.gz
libsrtp2_sha256=8a43ef8e9ae2b665292591af62aa1a4ae41e468b6d98d8258f91478735da4e09

[ -f "$worker/meson.build" ] || die "$worker/meson.build not found"
for tool in "$CC" "$CXX" make flatc awk sha256sum; do
	command -v "$tool" >/dev/null || die "$tool not found, run install-deps.sh"
done

case $pkg$output$here in *[[:space:]]*) die "paths with white space are not supported" ;; esac

if [ -n "${BUILD_DIR:-}" ]; then
	mkdir -p "$BUILD_DIR"
	build=$(CDPATH='' cd -- "$BUILD_DIR" && pwd)
else
	build=$(mktemp -d "${TMPDIR:-/tmp}/mediasoup-worker.XXXXXX")
	trap 'rm -rf "$build"' EXIT
	trap 'exit 130' INT TERM
fi

started=$(date +%s)
version=$(sed -n 's/^[[:space:]]*"version": "\([^"]*\)".*/\1/p' "$pkg/package.json" | head -1)
echo "mediasoup $version, $("$CXX" --version | head -1), srtp: $SRTP_BACKEND"

# --- libsrtp2 ---------------------------------------------------------------

case $SRTP_BACKEND in
	openssl)
		srtp=$build/libsrtp2
		srtp_include=-I$build/include
		srtp_libs=$srtp/libsrtp2.a

		if [ ! -f "$build/libsrtp2.stamp" ]; then
			tarball=${LIBSRTP2_TARBALL:-$build/$libsrtp2_file}
			# The source package lies in the same pool folder as the binary one.
			url=${LIBSRTP2_URL:-$(apt-get download --print-uris libsrtp2-dev | sed -n "s,^'\([^']*\)/[^/']*'.*,\1,p")}
			[ -n "$url" ] || die "can't tell where libsrtp2's source lies: run apt-get update, or set LIBSRTP2_TARBALL"
			if [ ! -f "$tarball" ]; then
				curl -fsS --retry 3 -o "$tarball.part" "$url/$libsrtp2_file"
				mv "$tarball.part" "$tarball"
			fi
			echo "$libsrtp2_sha256  $tarball" | sha256sum -c --quiet - || { rm -f "$build/$libsrtp2_file"; die "bad libsrtp2 tarball"; }
			rm -rf "$srtp" && mkdir -p "$srtp" "$build/include"
			tar xzf "$tarball" -C "$srtp" --strip-components=1
			(
				cd "$srtp"
				CC=$CC CFLAGS="-O3 -fPIC" ./configure --enable-openssl >"$build/libsrtp2.log" 2>&1
				make -j"$JOBS" libsrtp2.a >>"$build/libsrtp2.log" 2>&1
			) || { tail -20 "$build/libsrtp2.log" >&2; die "libsrtp2 failed"; }
			rm -rf "$build/include/srtp2" && mkdir -p "$build/include/srtp2"
			cp "$srtp"/include/srtp.h "$srtp"/crypto/include/auth.h \
				"$srtp"/crypto/include/cipher.h "$srtp"/crypto/include/crypto_types.h "$build/include/srtp2/"
			touch "$build/libsrtp2.stamp"
		fi
		;;
	nss)
		srtp_include=
		srtp_libs=-lsrtp2
		;;
	*) die "unknown SRTP_BACKEND $SRTP_BACKEND" ;;
esac

# --- FlatBuffers headers ----------------------------------------------------

stamp=$build/fbs.stamp
if [ ! -f "$stamp" ] || [ -n "$(find "$worker/fbs" -name '*.fbs' -newer "$stamp")" ]; then
	mkdir -p "$build/gen/FBS"
	(
		cd "$worker/fbs"
		flatc --cpp --cpp-field-case-style lower --reflect-names --scoped-enums \
			--filename-suffix '' -o "$build/gen/FBS" ./*.fbs
	)
	touch "$stamp"
fi

# --- Sources, taken from the package's meson files ---------------------------

# Prints the strings in every array assigned (or, with "+=" , appended) to $2 in
# $1, for "+=" only if the third argument is not empty.
meson_array() {
	awk -v name="$2" -v append="$3" '
		!on && $1 == name && ($2 == "=" || ($2 == "+=" && append != "")) && $3 == "[" { on = 1; next }
		on && /^[[:space:]]*\]/ { on = 0; next }
		on { while (match($0, /\047[^\047]+\047/)) {
			print substr($0, RSTART + 1, RLENGTH - 2); $0 = substr($0, RSTART + RLENGTH) } }
	' "$1"
}

defines="-DFLATBUFFERS_LOCALE_INDEPENDENT=1"

if printf '#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__\nyes\n#endif\n' | "$CC" -E -P - | grep -q yes; then
	defines="$defines -DMS_LITTLE_ENDIAN"
else
	defines="$defines -DMS_BIG_ENDIAN"
fi

# NOTE: Not using the built-in BWE (meson option ms_use_builtin_bwe), which is not
# wired up in mediasoup 3.27: transports built with it estimate no bandwidth and
# send no transport-cc feedback.
sources=$(meson_array "$worker/meson.build" common_sources append)
sources="$sources
$(meson_array "$worker/deps/libwebrtc/meson.build" libwebrtc_sources '' | sed 's,^,deps/libwebrtc/,')"

case ${MS_TARGET:-worker} in
	worker)
		defines="-DMS_EXECUTABLE $defines"
		sources="$sources
src/main.cpp"
		;;
	tests) # See unit-tests.sh.
		defines="-DMS_TEST -DMS_LOG_STD $defines"
		srtp_include="$srtp_include -I$here/test-shims -I$worker -I$worker/test/include -I$worker/mocks/include"
		sources="$sources
$(meson_array "$worker/meson.build" mock_sources append)
$(meson_array "$worker/meson.build" test_sources append)"
		;;
	*) die "unknown MS_TARGET $MS_TARGET" ;;
esac

sources=$(echo "$sources" | sort -u)

for source in $sources; do
	[ -f "$worker/$source" ] || die "listed source $source not found"
done

includes="-I$here/shims $srtp_include -I$build/gen -I$worker/include -I$worker/deps/libwebrtc -I$worker/deps/libwebrtc/libwebrtc"

# --- Makefile ---------------------------------------------------------------

makefile=$build/Makefile.new
{
	echo "CXXFLAGS = -std=c++20 $OPTFLAGS -fPIE -pthread $defines $includes -MMD -MP"
	echo "all: $build/mediasoup-worker"
	objects=
	for source in $sources; do
		object=$build/obj/$source.o
		objects="$objects $object"
		printf '%s: %s %s | %s\n\t@mkdir -p %s\n\t$(CXX) $(CXXFLAGS) -c -MF $@.d -MT $@ -o $@.part $<\n\t@mv $@.part $@\n' \
			"$object" "$worker/$source" "$build/Makefile" "$stamp" "$(dirname "$object")"
	done
	echo "OBJECTS =$objects"
	printf '%s: $(OBJECTS)\n' "$build/mediasoup-worker"
	# Debian's -dev packages ship static libraries for all of these but NSS.
	printf '\t$(CXX) -pie -pthread %s -Wl,-z,relro,-z,now -o $@.part $(OBJECTS) %s -Wl,-Bstatic -luv_a -lflatbuffers -lssl -lcrypto -Wl,-Bdynamic -ldl -lrt -lm\n\t@mv $@.part $@\n' "$LDFLAGS" "$srtp_libs"
	echo "-include \$(OBJECTS:=.d)"
} >"$makefile"

if cmp -s "$makefile" "$build/Makefile"; then rm "$makefile"; else mv "$makefile" "$build/Makefile"; fi

echo "compiling $(echo "$sources" | wc -l) files with $JOBS jobs"
make -s -f "$build/Makefile" -j"$JOBS" CXX="$CXX" all

strip -o "$output.tmp" "$build/mediasoup-worker"
chmod 755 "$output.tmp"
mv "$output.tmp" "$output"

echo "built $output ($(wc -c <"$output") bytes) in $(($(date +%s) - started)) s"
