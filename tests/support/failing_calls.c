/* Calls of the C library that change files below a folder: the n-th fails, or all from the n-th on, or the process dies
 * there by SIGKILL, half of the write done. Calls that read files there fail as well where that is asked for. Loaded by
 * LD_PRELOAD, so that libraries written in C, C++ and Rust are caught as well; tests/support/laboratory.py compiles and
 * arms it. Calls are counted over a process and all that it starts, in a file that is mapped into each.
 *
 * While it is armed, the network is forbidden as well, and calls for it are counted; servers may use this machine's own.
 *
 * FAILING_CALLS="MODE NUMBER ERRNO FLAGS STATE FOLDER" arms processes that are started later.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, ONCE, FROM_THEN_ON, DIE };
enum { PROCEED = 0, KILL_NOW = -1 };
enum { READS = 1, LOOPBACK = 2, LOG = 4 };
enum { LOG_BYTES = 4 << 20 };

typedef struct {
    atomic_long n_calls, n_network, n_log;
    char failed[40];
    char log[LOG_BYTES]; /* a line per call: its name and the path below the folder */
} State;

static int armed_mode = OFF, armed_code = ENOSPC, armed_flags;
static long armed_number;
static char armed_folder[PATH_MAX];
static size_t folder_length;
static State *state;
static __thread char seen[PATH_MAX]; /* path below the folder of the call that is looked at */

/* The state's file has to be sizeof(State) long and all zeros. */
void failing_calls_arm(int mode, long number, int code, int flags, const char *state_path, const char *folder) {
    armed_mode = OFF;
    if (mode == OFF) return;
    int handle = open(state_path, O_RDWR);
    if (handle < 0) abort();
    state = mmap(NULL, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (state == MAP_FAILED) abort();
    close(handle);
    snprintf(armed_folder, sizeof armed_folder, "%s", folder);
    folder_length = strlen(armed_folder);
    armed_number = number;
    armed_code = code;
    armed_flags = flags;
    armed_mode = mode;
}

long failing_calls_state_size(void) { return sizeof(State); }

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *text = getenv("FAILING_CALLS");
    static char path[PATH_MAX];
    int mode, code, flags, place = 0;
    long number;
    if (text && sscanf(text, "%d %ld %d %d %4000s %n", &mode, &number, &code, &flags, path, &place) == 5 && place)
        failing_calls_arm(mode, number, code, flags, path, text + place);
}

static int is_below(const char *path) {
    if (!path || !folder_length || strncmp(path, armed_folder, folder_length)) return 0;
    if (path[folder_length] && path[folder_length] != '/') return 0;
    snprintf(seen, sizeof seen, "%s", path + folder_length);
    return 1;
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
    if (path[0] == '/' || folder == AT_FDCWD) return is_below(path);
    if (!is_handle_below(folder)) return 0;
    size_t length = strlen(seen);
    snprintf(seen + length, sizeof seen - length, "/%s", path);
    return 1;
}

/* 0: go on; KILL_NOW: die; else the error's number. `takes_space`: fails where the disk is full. */
static int next_call(const char *name, int takes_space) {
    long number = atomic_fetch_add(&state->n_calls, 1) + 1;
    if (armed_flags & LOG) {
        char line[PATH_MAX + 40];
        int length = snprintf(line, sizeof line, "%s %s\n", name, seen);
        long place = atomic_fetch_add(&state->n_log, length);
        if (place + length < LOG_BYTES) memcpy(state->log + place, line, length);
    }
    int is_space = armed_code == ENOSPC || armed_code == EDQUOT || armed_code == EFBIG;
    int fails = armed_mode == ONCE || armed_mode == DIE ? number == armed_number
                                                        : number >= armed_number && (takes_space || !is_space);
    if (!fails) return PROCEED;
    if (!state->failed[0]) snprintf(state->failed, sizeof state->failed, "%s", name);
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
#define GUARD_READ(is_ours, label, failure) GUARD((armed_flags & READS) && (is_ours), label, 0, failure)
#define CHANGES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define OPEN_MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        ORIGINAL(name); \
        OPEN_MODE(flags, mode) \
        if (CHANGES(flags)) { \
            GUARD(is_below(path), "open", (flags) & (O_CREAT | __O_TMPFILE), -1) \
        } else { \
            GUARD_READ(is_below(path), "open to read", -1) \
        } \
        return original(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        ORIGINAL(name); \
        OPEN_MODE(flags, mode) \
        if (CHANGES(flags)) { \
            GUARD(is_below_at(folder, path), "open", (flags) & (O_CREAT | __O_TMPFILE), -1) \
        } else { \
            GUARD_READ(is_below_at(folder, path), "open to read", -1) \
        } \
        return original(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        ORIGINAL(name); \
        if (strpbrk(how, "wa+")) { \
            GUARD(is_below(path), "fopen", 1, NULL) \
        } else { \
            GUARD_READ(is_below(path), "open to read", NULL) \
        } \
        return original(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)
DIR *opendir(const char *path) {
    ORIGINAL(opendir);
    GUARD_READ(is_below(path), "list", NULL)
    return original(path);
}

ssize_t read(int handle, void *data, size_t n) {
    ORIGINAL(read);
    GUARD_READ(is_handle_below(handle), "read", -1)
    return original(handle, data, n);
}
#define PREAD(name, offset) \
    ssize_t name(int handle, void *data, size_t n, offset place) { \
        ORIGINAL(name); \
        GUARD_READ(is_handle_below(handle), "read", -1) \
        return original(handle, data, n, place); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)
#define MMAP(name, offset) \
    void *name(void *start, size_t n, int protection, int flags, int handle, offset place) { \
        ORIGINAL(name); \
        GUARD_READ(handle >= 0 && is_handle_below(handle), "map", MAP_FAILED) \
        return original(start, n, protection, flags, handle, place); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

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
#define SENDFILE(name, offset) \
    ssize_t name(int to, int from, offset *place, size_t n) { \
        ORIGINAL(name); \
        GUARD_WRITE(is_handle_below(to), "write", -1, original(to, from, place, n / 2)) \
        return original(to, from, place, n); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)
ssize_t copy_file_range(int from, off64_t *from_place, int to, off64_t *to_place, size_t n, unsigned flags) {
    ORIGINAL(copy_file_range);
    GUARD_WRITE(is_handle_below(to), "write", -1, original(from, from_place, to, to_place, n / 2, flags))
    return original(from, from_place, to, to_place, n, flags);
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
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    ORIGINAL(renameat2);
    GUARD(is_below_at(to_folder, to), "rename", 1, -1)
    return original(from_folder, from, to_folder, to, flags);
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
static int is_here(const struct sockaddr *address) {
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}
static int refuse_network(const struct sockaddr *address) {
    if (armed_mode == OFF || (address && address->sa_family != AF_INET && address->sa_family != AF_INET6)) return 0;
    if ((armed_flags & LOOPBACK) && address && is_here(address)) return 0;
    atomic_fetch_add(&state->n_network, 1);
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
    int is_ours = (armed_flags & LOOPBACK) && node && (!strcmp(node, "127.0.0.1") || !strcmp(node, "localhost"));
    return !is_ours && refuse_network(NULL) ? EAI_FAIL : original(node, service, hints, found);
}
