/* Calls of the C library that change files below a folder: the n-th fails, or all from the n-th on, or the process dies
 * there by SIGKILL, half of the write done. Loaded by LD_PRELOAD, so that libraries written in C, C++ and Rust are
 * caught as well; tests/support/faults.py compiles and arms it.
 *
 * While it is armed, the network is forbidden as well, and calls for it are counted.
 *
 * FAILING_CALLS="MODE NUMBER ERRNO FOLDER" arms processes that are started later.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, ONCE, FROM_THEN_ON, DIE };
enum { PROCEED = 0, KILL_NOW = -1 };

static int armed_mode = OFF, armed_code = ENOSPC;
static long armed_number;
static char armed_folder[PATH_MAX];
static size_t folder_length;
static atomic_long n_calls, n_network;
static char failed_call[32];

void failing_calls_arm(int mode, long number, int code, const char *folder) {
    snprintf(armed_folder, sizeof armed_folder, "%s", folder);
    folder_length = strlen(armed_folder);
    armed_number = number;
    armed_code = code;
    failed_call[0] = 0;
    atomic_store(&n_calls, 0);
    atomic_store(&n_network, 0);
    armed_mode = mode;
}

long failing_calls_count(void) { return atomic_load(&n_calls); }
long failing_calls_network(void) { return atomic_load(&n_network); }
const char *failing_calls_name(void) { return failed_call; }

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *text = getenv("FAILING_CALLS");
    int mode, code, place = 0;
    long number;
    if (text && sscanf(text, "%d %ld %d %n", &mode, &number, &code, &place) == 3 && place)
        failing_calls_arm(mode, number, code, text + place);
}

static int is_below(const char *path) {
    return path && folder_length && !strncmp(path, armed_folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

static int is_handle_below(int handle) {
    char link[64], path[PATH_MAX];
    ssize_t length;
    if (armed_mode == OFF || handle < 0) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_below_at(int folder, const char *path) {
    if (armed_mode == OFF || !path) return 0;
    return path[0] == '/' || folder == AT_FDCWD ? is_below(path) : is_handle_below(folder);
}

/* 0: go on; KILL_NOW: die; else the error's number. `takes_space`: fails where the disk is full. */
static int next_call(const char *name, int takes_space) {
    if (armed_mode == OFF) return PROCEED;
    long number = atomic_fetch_add(&n_calls, 1) + 1;
    int is_space = armed_code == ENOSPC || armed_code == EDQUOT || armed_code == EFBIG;
    int fails = armed_mode == ONCE || armed_mode == DIE ? number == armed_number
                                                        : number >= armed_number && (takes_space || !is_space);
    if (!fails) return PROCEED;
    if (!failed_call[0]) snprintf(failed_call, sizeof failed_call, "%s", name);
    return armed_mode == DIE ? KILL_NOW : armed_code;
}

#define ORIGINAL(name) \
    static __typeof__(&name) original; \
    if (!original) original = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define GUARD(is_ours, label, takes_space, failure) \
    if (armed_mode != OFF && (is_ours)) { \
        int fate = next_call(label, takes_space); \
        if (fate == KILL_NOW) raise(SIGKILL); \
        if (fate) { errno = fate; return failure; } \
    }
/* A write of which a half is done before the process dies. */
#define GUARD_WRITE(is_ours, label, failure, half) \
    if (armed_mode != OFF && (is_ours)) { \
        int fate = next_call(label, 1); \
        if (fate == KILL_NOW) { half; raise(SIGKILL); } \
        if (fate) { errno = fate; return failure; } \
    }
#define CHANGES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define OPEN_MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        ORIGINAL(name); \
        OPEN_MODE(flags, mode) \
        GUARD(CHANGES(flags) && is_below(path), "open", (flags) & (O_CREAT | __O_TMPFILE), -1) \
        return original(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        ORIGINAL(name); \
        OPEN_MODE(flags, mode) \
        GUARD(CHANGES(flags) && is_below_at(folder, path), "open", (flags) & (O_CREAT | __O_TMPFILE), -1) \
        return original(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        ORIGINAL(name); \
        GUARD(strpbrk(how, "wa+") && is_below(path), "fopen", 1, NULL) \
        return original(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int handle, const void *data, size_t n) {
    ORIGINAL(write);
    GUARD_WRITE(is_handle_below(handle), "write", -1, original(handle, data, n / 2))
    return original(handle, data, n);
}
#define PWRITE(name, offset) \
    ssize_t name(int handle, const void *data, size_t n, offset place) { \
        ORIGINAL(name); \
        GUARD_WRITE(is_handle_below(handle), "write", -1, original(handle, data, n / 2, place)) \
        return original(handle, data, n, place); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
ssize_t writev(int handle, const struct iovec *parts, int n) {
    ORIGINAL(writev);
    GUARD_WRITE(is_handle_below(handle), "write", -1, original(handle, parts, n / 2))
    return original(handle, parts, n);
}
size_t fwrite(const void *data, size_t size, size_t n, FILE *file) {
    ORIGINAL(fwrite);
    GUARD_WRITE(is_handle_below(fileno(file)), "write", 0, (original(data, size, n / 2, file), fflush(file)))
    return original(data, size, n, file);
}
#define TRUNCATE(name, offset) \
    int name(int handle, offset length) { \
        ORIGINAL(name); \
        GUARD(is_handle_below(handle), "truncate", 1, -1) \
        return original(handle, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
#define SYNC(name) \
    int name(int handle) { \
        ORIGINAL(name); \
        GUARD(is_handle_below(handle), "sync", 1, -1) \
        return original(handle); \
    }
SYNC(fsync)
SYNC(fdatasync)
int mkdir(const char *path, mode_t mode) {
    ORIGINAL(mkdir);
    GUARD(is_below(path), "mkdir", 1, -1)
    return original(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    ORIGINAL(mkdirat);
    GUARD(is_below_at(folder, path), "mkdir", 1, -1)
    return original(folder, path, mode);
}
int rename(const char *from, const char *to) {
    ORIGINAL(rename);
    GUARD(is_below(to), "rename", 1, -1)
    return original(from, to);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    ORIGINAL(renameat);
    GUARD(is_below_at(to_folder, to), "rename", 1, -1)
    return original(from_folder, from, to_folder, to);
}
int link(const char *from, const char *to) {
    ORIGINAL(link);
    GUARD(is_below(to), "link", 1, -1)
    return original(from, to);
}
int symlink(const char *from, const char *to) {
    ORIGINAL(symlink);
    GUARD(is_below(to), "link", 1, -1)
    return original(from, to);
}
int unlink(const char *path) {
    ORIGINAL(unlink);
    GUARD(is_below(path), "unlink", 0, -1)
    return original(path);
}
int unlinkat(int folder, const char *path, int flags) {
    ORIGINAL(unlinkat);
    GUARD(is_below_at(folder, path), "unlink", 0, -1)
    return original(folder, path, flags);
}
int rmdir(const char *path) {
    ORIGINAL(rmdir);
    GUARD(is_below(path), "unlink", 0, -1)
    return original(path);
}
int chmod(const char *path, mode_t mode) {
    ORIGINAL(chmod);
    GUARD(is_below(path), "chmod", 0, -1)
    return original(path, mode);
}
int fchmod(int handle, mode_t mode) {
    ORIGINAL(fchmod);
    GUARD(is_handle_below(handle), "chmod", 0, -1)
    return original(handle, mode);
}

/* The network: forbidden, and counted. */
static int refuse_network(const struct sockaddr *address) {
    if (armed_mode == OFF || (address && address->sa_family != AF_INET && address->sa_family != AF_INET6)) return 0;
    atomic_fetch_add(&n_network, 1);
    errno = ENETUNREACH;
    return 1;
}
int connect(int handle, const struct sockaddr *address, socklen_t length) {
    ORIGINAL(connect);
    return refuse_network(address) ? -1 : original(handle, address, length);
}
int bind(int handle, const struct sockaddr *address, socklen_t length) {
    ORIGINAL(bind);
    return refuse_network(address) ? -1 : original(handle, address, length);
}
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    ORIGINAL(getaddrinfo);
    return refuse_network(NULL) ? EAI_FAIL : original(node, service, hints, found);
}
