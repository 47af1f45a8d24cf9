/* A bad disk, a forgetful disk and a bad watch for one process, by LD_PRELOAD. Built and steered by `shim.py`.
 *
 * FAULTS_ROOT     files under this folder are on the bad disk
 * FAULTS_CONTROL  a mapped file of 64-bit words: what to do (see `struct control`)
 * FAULTS_SHADOW   a folder that receives, at each fsync and fdatasync, what that call makes durable: after a power cut
 *                 nothing else would be left
 * FAULTS_WHOLE    set: several processes write, so that each sync copies the whole file; the shadow begins as a copy of
 *                 the root, and what happens to names is durable at once
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t refuse;     /* errno that every write under the root gets while it is not 0 */
    volatile int64_t countdown;  /* while above 0: counts writes; the one that makes it 0 fails with EIO, once */
    volatile int64_t refused;    /* writes and syncs refused so far */
    volatile int64_t synced;     /* syncs copied into the shadow so far */
    volatile int64_t clock_ns;   /* added to CLOCK_REALTIME */
    volatile int64_t frozen_ns;  /* when not 0: what CLOCK_REALTIME says */
    volatile int64_t sync_ns;    /* a sync takes this much longer */
    volatile int64_t syncing;    /* syncs that have begun and are not done: what they sync would be forgotten now */
};

static struct control nothing;
static struct control *control = &nothing;
static const char *root, *shadow;
static int whole;
static size_t root_length;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

/* Which bytes of a file were written and not synced yet: from the first to the last of them. */
static struct dirty { dev_t dev; ino_t ino; int64_t low, high; } dirty[256];
static int dirty_count;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *), (*real_rename)(const char *, const char *);
static int (*real_link)(const char *, const char *), (*real_mkdir)(const char *, mode_t);
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_link = dlsym(RTLD_NEXT, "link");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    /* Copies: a database server writes its title over its environment. */
    root = getenv("FAULTS_ROOT") ? strdup(getenv("FAULTS_ROOT")) : NULL;
    shadow = getenv("FAULTS_SHADOW") ? strdup(getenv("FAULTS_SHADOW")) : NULL;
    whole = getenv("FAULTS_WHOLE") != NULL;
    root_length = root ? strlen(root) : 0;
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

/* The path below the root of an open file, or NULL: not on the bad disk, or a log. */
static const char *ours(int fd, char *buffer, size_t size) {
    char link[64];
    if (!root_length) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    if (length <= 0) return NULL;
    buffer[length] = 0;
    if (strncmp(buffer, root, root_length) || buffer[root_length] != '/') return NULL;
    const char *end = strrchr(buffer, '.');
    if (end && (!strcmp(end, ".log") || !strcmp(end, ".db-shm"))) return NULL;
    return buffer + root_length + 1;
}

static int refused(void) {
    int64_t code = control->refuse;
    if (!code && control->countdown > 0 && __atomic_sub_fetch(&control->countdown, 1, __ATOMIC_SEQ_CST) == 0) code = EIO;
    if (!code) return 0;
    __atomic_add_fetch(&control->refused, 1, __ATOMIC_SEQ_CST);
    errno = (int)code;
    return 1;
}

static struct dirty *entry_of(int fd) {
    struct stat about;
    if (fstat(fd, &about)) return NULL;
    for (int i = 0; i < dirty_count; i++)
        if (dirty[i].ino == about.st_ino && dirty[i].dev == about.st_dev) return &dirty[i];
    if (dirty_count == 256) return NULL;
    dirty[dirty_count] = (struct dirty){about.st_dev, about.st_ino, INT64_MAX, 0};
    return &dirty[dirty_count++];
}

static void wrote(int fd, int64_t from, int64_t to) {
    char buffer[4096];
    if (!shadow || whole || !ours(fd, buffer, sizeof buffer)) return;
    pthread_mutex_lock(&guard);
    struct dirty *entry = entry_of(fd);
    if (entry) {
        if (from < entry->low) entry->low = from;
        if (to > entry->high) entry->high = to;
    }
    pthread_mutex_unlock(&guard);
}

/* What this sync makes durable goes into the shadow. The file's length is durable with it. */
static void keep(int fd) {
    char buffer[4096], target[8192], chunk[65536], own[64];
    const char *name;
    struct stat about;
    if (!shadow || !(name = ours(fd, buffer, sizeof buffer)) || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
    snprintf(target, sizeof target, "%s/%s", shadow, name);
    pthread_mutex_lock(&guard);
    struct dirty everything = {0, 0, 0, INT64_MAX}, *entry = whole ? &everything : entry_of(fd);
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int from = open(own, O_RDONLY | O_CLOEXEC), to = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (entry && from >= 0 && to >= 0) {
        int64_t at = entry->low, end = entry->high < about.st_size ? entry->high : about.st_size;
        while (at < end) {
            size_t want = end - at < (int64_t)sizeof chunk ? (size_t)(end - at) : sizeof chunk;
            ssize_t got = pread(from, chunk, want, at);
            if (got <= 0) break;
            real_pwrite(to, chunk, (size_t)got, at);
            at += got;
        }
        real_ftruncate(to, about.st_size);
        entry->low = INT64_MAX;
        entry->high = 0;
        __atomic_add_fetch(&control->synced, 1, __ATOMIC_SEQ_CST);
    }
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    pthread_mutex_unlock(&guard);
}

/* Until a sync is done, nothing of it counts. */
static int sync_with(int (*real)(int), int fd) {
    char buffer[4096];
    int mine = ours(fd, buffer, sizeof buffer) != NULL;
    if (mine) {
        struct timespec pause = {0, (long)control->sync_ns};
        __atomic_add_fetch(&control->syncing, 1, __ATOMIC_SEQ_CST);
        if (pause.tv_nsec) nanosleep(&pause, NULL);
    }
    int failed = real(fd);
    if (!failed) keep(fd);
    if (mine) __atomic_sub_fetch(&control->syncing, 1, __ATOMIC_SEQ_CST);
    return failed;
}

static int bad(int fd) {
    char buffer[4096];
    if (!control->refuse && control->countdown <= 0) return 0;
    return ours(fd, buffer, sizeof buffer) && refused();
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    if (bad(fd)) return -1;
    ssize_t done = real_pwrite(fd, data, size, at);
    if (done > 0) wrote(fd, at, at + done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
    if (!real_write) real_write = dlsym(RTLD_NEXT, "write");
    if (root_length && fd > 2) {
        if (bad(fd)) return -1;
        ssize_t done = real_write(fd, data, size);
        if (done > 0 && shadow) {
            off_t end = lseek(fd, 0, SEEK_CUR);
            if (end >= 0) wrote(fd, end - done, end);
        }
        return done;
    }
    return real_write(fd, data, size);
}

int fsync(int fd) { return bad(fd) ? -1 : sync_with(real_fsync, fd); }

int fdatasync(int fd) { return bad(fd) ? -1 : sync_with(real_fdatasync, fd); }

int ftruncate64(int fd, off_t size) {
    if (bad(fd)) return -1;
    return real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Where a path of the root is in the shadow, or NULL. A server works inside its folder and names files from there. */
static const char *mirrored(const char *path, char *buffer, size_t size) {
    if (!shadow || !root_length) return NULL;
    if (!strncmp(path, root, root_length) && path[root_length] == '/') path += root_length + 1;
    else if (!whole || path[0] == '/') return NULL;
    snprintf(buffer, size, "%s/%s", shadow, path);
    return buffer;
}

int unlink(const char *path) {
    char target[8192];
    int failed = real_unlink(path);
    if (!failed && mirrored(path, target, sizeof target)) real_unlink(target);
    return failed;
}

int rename(const char *from, const char *to) {
    char source[8192], target[8192];
    int failed = real_rename(from, to);
    if (!failed && whole && mirrored(from, source, sizeof source) && mirrored(to, target, sizeof target))
        real_rename(source, target);
    return failed;
}

int link(const char *from, const char *to) {
    char source[8192], target[8192];
    int failed = real_link(from, to);
    if (!failed && whole && mirrored(from, source, sizeof source) && mirrored(to, target, sizeof target))
        real_link(source, target);
    return failed;
}

int mkdir(const char *path, mode_t mode) {
    char target[8192];
    int failed = real_mkdir(path, mode);
    if (!failed && whole && mirrored(path, target, sizeof target)) real_mkdir(target, mode);
    return failed;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (!real_clock) real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real_clock(which, now);
    if (failed || which != CLOCK_REALTIME) return failed;
    int64_t said = control->frozen_ns, ahead = control->clock_ns;
    if (!said && !ahead) return 0;
    if (!said) said = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + ahead;
    now->tv_sec = said / 1000000000;
    now->tv_nsec = said % 1000000000;
    return 0;
}
