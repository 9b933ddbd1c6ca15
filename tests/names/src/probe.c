/* Reads names that end in NUL from standard input and prints, for each, what every call says that looks a
   name up: "NUMBER FORM CALL ERRNO RESULT". FORM is A for a name behind BASE, R for one relative to the
   working directory BASE, F for one relative to a descriptor of BASE. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *base;
static int base_fd;
static int number;
static char form;

static void path(const char *call, const char *text, size_t length) {
    printf("%d %c %s 0 path:", number, form, call);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > ' ' && c < 127 && c != '\\')
            putchar(c);
        else
            printf("\\%03o", c);
    }
    putchar('\n');
}

static void result(const char *call, int r) {
    printf("%d %c %s %d\n", number, form, call, r < 0 ? errno : 0);
}

/* Type, bits, time of change: what a copy of the inode has as well. */
static void inode(const char *call, int r, const struct stat *s) {
    if (r < 0) {
        result(call, r);
        return;
    }
    long long size = S_ISDIR(s->st_mode) ? 0 : (long long)s->st_size;
    long long time = (long long)s->st_mtim.tv_sec;
    /* Directories that are not of the tree change while we look. */
    if (time > 1000000000LL + 86400LL * 4000)
        time = 0;
    printf("%d %c %s 0 %o %lld %lld\n", number, form, call, s->st_mode, size, time);
}

static void opened(const char *call, int dir, const char *name, int flags) {
    struct stat s;
    int fd = openat(dir, name, flags | O_CLOEXEC);
    if (fd < 0) {
        result(call, fd);
        return;
    }
    inode(call, fstat(fd, &s), &s);
    char link[64], text[PATH_MAX * 2];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, text, sizeof text);
    if (n >= 0)
        path("opened-as", text, (size_t)n);
    else
        result("opened-as", (int)n);
    close(fd);
}

static void look(int dir, const char *name) {
    struct stat s;
    char text[PATH_MAX * 2];
    ssize_t n;
    inode("stat", fstatat(dir, name, &s, 0), &s);
    inode("lstat", fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW), &s);
    n = readlinkat(dir, name, text, sizeof text);
    if (n >= 0)
        path("readlink", text, (size_t)n);
    else
        result("readlink", (int)n);
    result("access", (int)syscall(SYS_faccessat, dir, name, F_OK));
    opened("O_PATH", dir, name, O_PATH);
    opened("O_PATH|O_NOFOLLOW", dir, name, O_PATH | O_NOFOLLOW);
    opened("O_PATH|O_DIRECTORY", dir, name, O_PATH | O_DIRECTORY);
    opened("O_DIRECTORY", dir, name, O_RDONLY | O_DIRECTORY);
    opened("O_DIRECTORY|O_NOFOLLOW", dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    opened("O_RDONLY", dir, name, O_RDONLY | O_NONBLOCK);
    opened("O_RDONLY|O_NOFOLLOW", dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (dir != AT_FDCWD)
        return;
    if (realpath(name, text))
        path("realpath", text, strlen(text));
    else
        result("realpath", -1);
    int r = chdir(name);
    if (r < 0) {
        result("chdir", r);
        return;
    }
    if (getcwd(text, sizeof text))
        path("getcwd", text, strlen(text));
    else
        result("getcwd", -1);
    inode("stat-.", stat(".", &s), &s);
    inode("stat-..", stat("..", &s), &s);
    result("back", chdir(base));
}

/* Whether a name leads to a directory that is, or may be, a mount point, of which names can't be taken. */
static int is_kept(const char *name) {
    struct stat s, k;
    if (stat(name, &s) < 0)
        return 0;
    const char *roots[] = {base, getenv("KEPT")};
    for (int i = 0; i < 4; i++) {
        static char text[PATH_MAX];
        if (!roots[i / 2])
            continue;
        snprintf(text, sizeof text, "%s%s", roots[i / 2], i % 2 ? "/a" : "");
        if (stat(text, &k) == 0 && s.st_ino == k.st_ino && s.st_dev == k.st_dev)
            return 1;
    }
    return 0;
}

/* Makes what does not exist and removes it again. */
static void make(const char *name) {
    if (is_kept(name))
        return;
    int r = mkdir(name, 0700);
    result("mkdir", r);
    if (r == 0)
        result("rmdir", rmdir(name));
    r = symlink("text", name);
    result("symlink", r);
    if (r == 0)
        result("unlink", unlink(name));
    r = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    result("O_EXCL", r);
    if (r >= 0) {
        close(r);
        result("unlink", unlink(name));
    }
    r = mknod(name, S_IFREG | 0600, 0);
    result("mknod", r);
    if (r == 0)
        result("unlink", unlink(name));
    result("rename", rename(name, name));
    result("link", link(name, name));
    struct stat s;
    if (lstat(name, &s) < 0) {
        result("unlink-missing", unlink(name));
        result("rmdir-missing", rmdir(name));
        result("truncate", truncate(name, 0));
    } else if (S_ISDIR(s.st_mode)) {
        result("unlink-directory", unlink(name));
    } else {
        result("rmdir-file", rmdir(name));
    }
}

int main(int argc, char **argv) {
    static char names[1 << 24];
    size_t length = 0, n;
    setvbuf(stdout, malloc(1 << 16), _IOFBF, 1 << 16);
    if (argc > 2 && (chroot(argv[2]) < 0 || chdir("/") < 0)) {
        perror("chroot");
        return 2;
    }
    base = argv[1];
    umask(022);
    if (chdir(base) < 0 || (base_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        perror(base);
        return 2;
    }
    while ((n = fread(names + length, 1, sizeof names - length, stdin)) > 0)
        length += n;
    for (int pass = 0; pass < 2; pass++) {
        number = 0;
        for (char *name = names; name < names + length; name += strlen(name) + 1, number++) {
            static char full[1 << 14];
            snprintf(full, sizeof full, "%s/%s", strcmp(base, "/") ? base : "", name);
            form = 'A';
            pass ? make(full) : look(AT_FDCWD, full);
            form = 'R';
            pass ? make(name) : look(AT_FDCWD, name);
            form = 'F';
            if (!pass)
                look(base_fd, name);
        }
    }
    return 0;
}
