/* Fails calls on files whose path holds FAULT_PATH, for programs that are started with this library preloaded.
 *
 * FAULT_CALL   open, read, opendir, close, flock, fsync or malloc: which call; the last three whatever their file
 * FAULT_ERRNO  the error of all but close and malloc
 * FAULT_TIMES  how often it fails; always where it is not set
 * FAULT_SKIP   how many calls pass before the first one fails
 * FAULT_SIZE   allocations of fewer bytes never fail and are not counted
 * FAULT_COUNT  a file to which the number of such allocations is written at the end
 * FAULT_WHOLE  a file whose content takes the place of the matching one once that is closed for the first time
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_FILES = 4096 };
static atomic_char matching[MOST_FILES];
static atomic_int calls, passed;

static int is_named(const char *path) {
    const char *part = getenv("FAULT_PATH");
    return part && path && strstr(path, part);
}

static int fails(const char *call) {
    const char *wanted = getenv("FAULT_CALL"), *times = getenv("FAULT_TIMES"), *code = getenv("FAULT_ERRNO");
    if (!wanted || strcmp(wanted, call) != 0) return 0;
    const char *skip = getenv("FAULT_SKIP");
    if (skip && atomic_fetch_add(&passed, 1) < atoi(skip)) return 0;
    if (times && atomic_fetch_add(&calls, 1) >= atoi(times)) return 0;
    if (code) errno = atoi(code);
    return 1;
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    int is_match = is_named(path) && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_DIRECTORY);
    if (is_match && fails("open")) return -1;
    int file = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (file >= 0 && file < MOST_FILES) atomic_store(&matching[file], (char)is_match);
    return file;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags, mode) return opened(folder, path, flags, mode); }

ssize_t read(int file, void *bytes, size_t count) {
    if (file >= 0 && file < MOST_FILES && atomic_load(&matching[file]) && fails("read")) return -1;
    return syscall(SYS_read, file, bytes, count);
}

/* A copy of a file's number is that file, too. */
int fcntl(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int result = (int)syscall(SYS_fcntl, file, command, argument);
    int is_copy = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    if (is_copy && result >= 0 && result < MOST_FILES && file < MOST_FILES)
        atomic_store(&matching[result], atomic_load(&matching[file]));
    return result;
}

int fcntl64(int file, int command, ...) __attribute__((alias("fcntl")));

DIR *opendir(const char *path) {
    DIR *(*real)(const char *) = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    return is_named(path) && fails("opendir") ? NULL : real(path);
}

int flock(int file, int operation) { return fails("flock") ? -1 : (int)syscall(SYS_flock, file, operation); }

int fsync(int file) { return fails("fsync") ? -1 : (int)syscall(SYS_fsync, file); }

static void complete(int file) {
    char path[4096] = {0}, link[64] = "/proc/self/fd/", bytes[65536];
    for (int digit = 10000, at = 14; digit; digit /= 10)
        if (file >= digit || digit == 1) link[at++] = (char)('0' + file / digit % 10);
    if (readlink(link, path, sizeof path - 1) < 0) return;
    int from = (int)syscall(SYS_openat, AT_FDCWD, getenv("FAULT_WHOLE"), O_RDONLY, 0);
    int to = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_TRUNC, 0);
    for (long count; (count = syscall(SYS_read, from, bytes, sizeof bytes)) > 0;)
        if (syscall(SYS_write, to, bytes, count) != count) abort();
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

int close(int file) {
    if (file >= 0 && file < MOST_FILES && atomic_exchange(&matching[file], 0) && fails("close")) complete(file);
    return (int)syscall(SYS_close, file);
}

/* The C library's own; dlsym would allocate. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static atomic_long allocations;

static int lacks(size_t size) {
    const char *least = getenv("FAULT_SIZE");
    if (!least || size < (size_t)atol(least)) return 0;
    atomic_fetch_add(&allocations, 1);
    if (!fails("malloc")) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return lacks(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return lacks(count * size) ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return lacks(size) ? NULL : __libc_realloc(old, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *taken = lacks(size) ? NULL : __libc_memalign(alignment, size);
    if (!taken) return ENOMEM;
    *result = taken;
    return 0;
}

__attribute__((destructor)) static void count(void) {
    const char *path = getenv("FAULT_COUNT");
    char digits[24];
    int at = sizeof digits;
    long left = atomic_load(&allocations);
    do digits[--at] = (char)('0' + left % 10); while ((left /= 10) > 0);
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
    if (file >= 0 && syscall(SYS_write, file, digits + at, sizeof digits - (size_t)at) < 0) abort();
}
