# shellcheck shell=bash
# Container images made without an engine: their names, and how a folder becomes a root file system with just what a
# program needs. Sourced by build and by kubernetes/, after deploy/lib.sh.

images=$SLUICE_HOME/images
image_tar() { echo "$images/$1.tar"; }
# The image's full name. Its tag holds a digest of its content: another content is another name, so that nothing
# mistakes an old image for a new one and a roll-out starts by itself.
image_ref() {
  [ -f "$images/$1.ref" ] || die "there is no image '$1' yet: deploy/image/build $1"
  head -n 1 "$images/$1.ref"
}

# stage_program ROOT PROGRAM FOLDER: PROGRAM, stripped, into ROOT/FOLDER, with its shared libraries and their loader.
stage_program() {
  local root=$1 program=$2 folder=$3 library
  mkdir -p "$root/$folder"
  cp -L "$program" "$root/$folder/"
  strip --strip-unneeded "$root/$folder/${program##*/}" 2>/dev/null || true   # scripts have nothing to strip
  while read -r library; do
    [ ! -e "$root/$library" ] || continue
    mkdir -p "$root/$(dirname "$library")"
    cp -L "$library" "$root/$library"
  done < <(libraries_of "$program")
}

# The files that the loader would map, the loader itself among them; none for a static program.
libraries_of() {
  local listed
  listed=$(ldd "$1" 2>/dev/null) || return 0
  ! grep -F 'not found' <<<"$listed" >&2 || die "$1 lacks shared libraries: deploy/deps installs them"
  awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' <<<"$listed"
}

# What programs expect of any machine: users, name lookup, certificates, a place for temporary files.
stage_base() {
  local root=$1
  mkdir -p "$root"/{etc/ssl/certs,usr/lib/ssl,tmp,var/lib/sluice}
  chmod 1777 "$root/tmp"
  printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  # Where OpenSSL looks for them.
  ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
  ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
}

# stage_shell ROOT: busybox, under its own name and those of the commands that scripts and debugging want.
stage_shell() {
  local root=$1 name
  stage_program "$root" "$(command -v busybox)" bin
  for name in sh awk basename cat cmp cp cut date diff dirname echo env expr false grep head hostname id kill ln ls mkdir \
    mkfifo mv nc nslookup paste ping printf ps rm rmdir sed seq sleep sort stat tail tee test touch tr true tty uniq wc wget xargs; do
    ln -sf busybox "$root/bin/$name"
  done
}
