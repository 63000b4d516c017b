# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2154 # for `.`: the caller says what the variables are
#
# A Debian 12 root of our own, for tests/fresh/run and tests/vm/run. The caller
# has `say` and `die` and sets $root (an empty folder) and $cache (where the bare
# root is kept for the next time, or nothing). Needs root and debootstrap.

unmount_all() {
	# deepest first; our own mounts only
	awk -v r="$root/" 'index($2 "/", r) == 1 { print $2 }' /proc/self/mounts | sort -r |
		while read -r place; do umount -l "$place" 2>/dev/null || true; done
}

# the first Debian mirror of this machine's sources, in either format
mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' | head -1 | grep . && return
	sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources | head -1 | grep . ||
		die "no mirror found in this machine's apt sources"
}

make_bare_root() {
	if [ -n "$cache" ] && [ -e "$cache/etc/debian_version" ]; then
		say "copy of the cached root"
		cp -a "$cache/." "$root"
		return
	fi
	say "debootstrap"
	debootstrap --variant=minbase bookworm "$root" "$(mirror)" >"$root.log" 2>&1 ||
		{ tail -20 "$root.log" >&2; rm -f "$root.log"; die "debootstrap failed"; }
	rm -f "$root.log"
	if [ -n "$cache" ]; then
		mkdir -p "$cache"
		cp -a "$root/." "$cache"
	fi
}

# sources, keys, proxies and resolver are this machine's own
copy_configuration() {
	rm -rf "$root/etc/apt"
	cp -a /etc/apt "$root/etc/apt"
	mkdir -p "$root/usr/share/keyrings"
	cp -a /usr/share/keyrings/. "$root/usr/share/keyrings/"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	cp -L /etc/hosts "$root/etc/hosts"
}

mount_kernel() {
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --make-rslave "$root/sys"
	mount -t tmpfs tmpfs "$root/run"
	make_devices
}

# a /dev of its own: nothing inside can harm the machine's
make_devices() {
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	for node in null:3 zero:5 full:7 random:8 urandom:9; do
		mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
	done
	mknod -m 666 "$root/dev/tty" c 5 0
	ln -s /proc/self/fd "$root/dev/fd"
	for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"; done
	mkdir -m 1777 "$root/dev/shm"
}

inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
		DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
		${https_proxy:+https_proxy="$https_proxy"} chroot "$root" "$@"
}
