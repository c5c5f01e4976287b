/* Faults for a process under test, by LD_PRELOAD.
 *
 * DATAOS_SHIM         "noop": every sync says yes and does nothing.
 *                     "pwrite" or "sync": that call fails from then on, once it was made
 * DATAOS_SHIM_AFTER   times
 * DATAOS_SHIM_FILE    on files whose path holds this,
 * DATAOS_SHIM_ERRNO   with this error.
 * DATAOS_SHIM_REPORT  One byte is appended to this file for each failure, and for each call of
 *                     either kind on such a file after the first: a retry shows as a second byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;
static atomic_int failed;

static int is(const char *mode) {
    const char *set = getenv("DATAOS_SHIM");
    return set && strcmp(set, mode) == 0;
}

static int concerns(int fd) {
    const char *part = getenv("DATAOS_SHIM_FILE");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!part || length < 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Whether this call is to fail; counts it. */
static int fails(int fd, const char *mode) {
    if (is("noop") || !concerns(fd)) return 0;
    int is_meant = is(mode);
    if (is_meant && atomic_fetch_add(&calls, 1) >= atol(getenv("DATAOS_SHIM_AFTER")))
        atomic_store(&failed, 1);
    if (!atomic_load(&failed)) return 0;
    int report = open(getenv("DATAOS_SHIM_REPORT"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (syscall(SYS_write, report, is_meant ? "F" : "c", 1) != 1) abort();
    close(report);
    errno = atoi(getenv("DATAOS_SHIM_ERRNO"));
    return is_meant;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    if (fails(fd, "pwrite")) return -1;
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

int fdatasync(int fd) {
    if (is("noop")) return 0;
    if (fails(fd, "sync")) return -1;
    return syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    if (is("noop")) return 0;
    if (fails(fd, "sync")) return -1;
    return syscall(SYS_fsync, fd);
}
