/* SPDX-License-Identifier: LGPL-2.1-or-later */

/** DOC: Which unit and which container the path of a cgroup names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "policy/cgroup.h"

#define ID "3f4a9c1b5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"
#define USER "/user.slice/user-1000.slice/user@1000.service"

static const struct {
	const char *path, *unit, *container;
} cases[] = {
	{ "", "", "" },
	{ "/", "", "" },
	/* systemd: the system, a session, a user's manager */
	{ "/init.scope", "init.scope", "" },
	{ "/system.slice/ssh.service", "ssh.service", "" },
	{ "system.slice/ssh.service", "ssh.service", "" },
	{ "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", "" },
	{ "/system.slice/dbus.socket", "dbus.socket", "" },
	{ "/system.slice/mnt-data.mount", "mnt-data.mount", "" },
	{ "/system.slice/dev-sda2.swap", "dev-sda2.swap", "" },
	{ "/system.slice", "", "" },
	{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "" },
	{ USER "/init.scope", "init.scope", "" },
	{ USER "/app.slice/app-gnome-firefox-4711.scope", "app-gnome-firefox-4711.scope", "" },
	{ USER "/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope", "vte-spawn-1.scope",
	  "" },
	{ USER "/app.slice/app-gnome-org.gnome.Text\\x2dEditor-9.scope",
	  "app-gnome-org.gnome.Text\\x2dEditor-9.scope", "" },
	{ "/system.slice/systemd-fsck@dev-disk-by\\x2duuid-1.service",
	  "systemd-fsck@dev-disk-by\\x2duuid-1.service", "" },
	/* a service with cgroups of its own below */
	{ "/system.slice/systemd-udevd.service/udev", "systemd-udevd.service", "" },
	{ "/system.slice/slurmd.service/job_1/step_0", "slurmd.service", "" },
	/* reserved names */
	{ "/system.slice/_cgroup.slice/_memory.service", "memory.service", "" },
	{ "/_notify_on_release/__x.service", "_x.service", "" },
	/* nearly a unit */
	{ "/.service", "", "" },
	{ "/a.services/b", "", "" },
	/* Docker */
	{ "/system.slice/docker-" ID ".scope", "docker-" ID ".scope", ID },
	{ "/docker/" ID, "", ID },
	{ "/docker/" ID "/system.slice/nginx.service", "", ID },
	{ "/system.slice/docker-" ID ".scope/system.slice/evil.service", "docker-" ID ".scope",
	  ID },
	{ USER "/user.slice/docker-" ID ".scope", "docker-" ID ".scope", ID },
	{ "/system.slice/docker.service", "docker.service", "" },
	{ "/system.slice/docker-proxy.scope", "docker-proxy.scope", "" },
	{ "/docker/buildkit", "", "" },
	{ "/system.slice/nerdctl-" ID ".scope", "nerdctl-" ID ".scope", ID },
	/* Podman */
	{ "/machine.slice/libpod-" ID ".scope", "libpod-" ID ".scope", ID },
	{ "/machine.slice/libpod-" ID ".scope/container", "libpod-" ID ".scope", ID },
	{ "/machine.slice/libpod-conmon-" ID ".scope", "libpod-conmon-" ID ".scope", ID },
	{ USER "/user.slice/libpod-" ID ".scope/container", "libpod-" ID ".scope", ID },
	{ "/libpod_parent/libpod-" ID, "", ID },
	{ "/machine.slice/machine-libpod_pod_" ID ".slice", "", "" },
	/* Kubernetes: systemd driver, cgroupfs driver, the mixture of both */
	{ "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1a_2b.slice/"
	  "cri-containerd-" ID ".scope",
	  "cri-containerd-" ID ".scope", ID },
	{ "/kubepods.slice/kubepods-pod1a.slice/crio-" ID ".scope", "crio-" ID ".scope", ID },
	{ "/kubepods.slice/kubepods-pod1a.slice/crio-conmon-" ID ".scope",
	  "crio-conmon-" ID ".scope", ID },
	{ "/kubepods/besteffort/pod0f8d-11/" ID, "", ID },
	{ "/kubepods.slice/kubepods-pod1a.slice", "", "" },
	{ "/system.slice/containerd.service/kubepods-burstable-pod1a.slice:cri-containerd:" ID,
	  "containerd.service", ID },
	/* LXC */
	{ "/lxc.payload.web1", "", "web1" },
	{ "/lxc.payload.web1/system.slice/nginx.service", "", "web1" },
	{ "/lxc/web1/init.scope", "", "web1" },
	{ "/lxc.monitor.web1", "", "" },
	{ "/lxc", "", "" },
	/* machined */
	{ "/machine.slice/machine-debian.scope", "machine-debian.scope", "debian" },
	{ "/machine.slice/machine-web\\x2d1.scope/payload", "machine-web\\x2d1.scope", "web-1" },
	{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/vcpu0",
	  "machine-qemu\\x2d1\\x2dvm.scope", "qemu-1-vm" },
	{ "/machine.slice/systemd-nspawn@web.service/payload/system.slice/a.service",
	  "systemd-nspawn@web.service", "web" },
	{ "/machine.slice/machine-a\\x00b\\xg1\\x2.scope", "machine-a\\x00b\\xg1\\x2.scope",
	  "a\\x00b\\xg1\\x2" },
	/* an id that is longer than any */
	{ "/docker-" ID "aa.scope", "docker-" ID "aa.scope", ID },
	/* no id: upper case, too short, too long for a component that is nothing else */
	{ "/docker-ABCDEF012345.scope", "docker-ABCDEF012345.scope", "" },
	{ "/docker-abc.scope", "docker-abc.scope", "" },
	{ "/x/" ID "0", "", "" },
	{ "///a//b.service//", "b.service", "" },
	{ "/_", "", "" },
};

static void test_cases(void **state)
{
	struct cgroup_names names;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&names, 'x', sizeof(names));
		cgroup_read_path(cases[i].path, &names);
		if (strcmp(names.unit, cases[i].unit) != 0 ||
		    strcmp(names.container, cases[i].container) != 0)
			fail_msg("%s: unit \"%s\" container \"%s\"", cases[i].path, names.unit,
				 names.container);
	}
}

static void test_long(void **state)
{
	static const char suffix[] = ".service";
	char path[1024] = { '/' };
	struct cgroup_names names;

	memset(path + 1, 'a', 900);
	memcpy(path + 901, suffix, sizeof(suffix));
	cgroup_read_path(path, &names);
	assert_int_equal(strlen(names.unit), CGROUP_UNIT_BYTES - 1);
	assert_string_equal(names.container, "");
	memcpy(path, "/lxc/", 5);
	cgroup_read_path(path, &names);
	assert_int_equal(strlen(names.container), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
