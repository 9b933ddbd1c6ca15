//! `umbinfmt`: programs of foreign formats.

use e2e::{User, View, Work, combinations, native, need};

/// The line of binfmt_misc for 64-bit ARM: the ELF header, of which some bits do not count.
const ARM64: &str = r":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:";

const HELLO: &str = r#"
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct utsname u;
    uname(&u);
    printf("%s %s %d\n", u.machine, argv[argc - 1], argc);
    fflush(stdout);
    if (argc == 2) return execl(argv[0], argv[0], "again", "twice", (char *)0);
    return 7;
}
"#;

/// Shows what an interpreter gets.
const INTERPRETER: &str = r#"
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char head[5] = "none";
    unsigned long fd = getauxval(AT_EXECFD);
    if (fd) pread((int)fd, head, 4, 0);
    printf("flags %lu head %s", getauxval(AT_FLAGS), head);
    for (int i = 1; i < argc; i++) printf(" %s", argv[i]);
    puts("");
    return 0;
}
"#;

#[test]
fn a_program_for_another_machine_runs_from_a_virtual_file_system() {
    need("qemu-aarch64-static", "qemu-user-static");
    need("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
    let built = Work::new(User::Root);
    let source = built.write("hello.c", HELLO);
    let hello = built.name("hello");
    let compiled =
        native(User::Root).run(&format!("aarch64-linux-gnu-gcc -static {source} -o {hello}"));
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (formats, tree) = (work.folder("formats"), work.folder("tree"));
        work.write("line", ARM64);
        let line = format!(
            "mount -t umbinfmt none {formats} && mount -t umfusemem none {tree} && cp {hello} {tree}\n\
             {tree}/hello before; echo $?; cat {} > {formats}/register; {tree}/hello once; echo $?",
            work.name("line")
        );
        let view = View::of(combination).preload("umfuse").preload("umbinfmt");
        let output = view.run(&line);
        // The shell takes what it can't run for a script.
        let shown = output.success().split_once('\n').map_or("", |(_, rest)| rest);
        assert_eq!(shown, "aarch64 once 2\naarch64 twice 3\n7\n", "{combination:?}: {output:?}");
    }
}

#[test]
fn flags_say_what_the_interpreter_gets() {
    need("gcc", "gcc");
    let built = Work::new(User::Root);
    let source = built.write("interpreter.c", INTERPRETER);
    let interpreter = built.name("interpreter");
    let compiled = native(User::Root).run(&format!("gcc {source} -o {interpreter}"));
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (formats, b, c) = (work.folder("formats"), work.name("b"), work.name("c"));
        for (name, magic) in [("a", "AAAA"), ("b", "BBBB"), ("c", "CCCC")] {
            work.write(name, &format!("{magic} is no program\n"));
        }
        let line = format!(
            "mount -t umbinfmt none {formats} && chmod +x a b c\n\
             echo ':a:M::AAAA::{interpreter}:' > {formats}/register\n\
             echo ':b:M::BBBB::{interpreter}:P' > {formats}/register\n\
             echo ':c:M::CCCC::{interpreter}:PO' > {formats}/register\n\
             ./a x; (exec -a zero {b} x y); (exec -a zero {c}); printf '#!./a -q' > d; chmod +x d; ./d z"
        );
        let view = View::of(combination).preload("umbinfmt").folder(work.path());
        let output = view.command(&["bash", "-c", &line]);
        assert_eq!(
            output.success(),
            format!(
                "flags 0 head none ./a x\nflags 1 head none {b} zero x y\nflags 1 head CCCC {c} zero\n\
                 flags 0 head none ./a -q ./d z\n"
            ),
            "{combination:?}: {output:?}"
        );
    }
}

#[test]
fn entries_are_listed_switched_and_removed_and_a_prefix_limits_them() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let (formats, inside) = (work.folder("formats"), work.folder("inside"));
        work.write("inside/x.shout", "text\n");
        work.write("x.shout", "echo outside\n");
        let line = format!(
            "mount -t umbinfmt {inside} {formats} && chmod +x inside/x.shout x.shout\n\
             echo ':shout:E::shout::/bin/cat:' > {formats}/register; ls {formats}; cat {formats}/shout\n\
             echo ':shout:E::other::/bin/cat:' > {formats}/register || echo exists\n\
             echo ':x:E::x::/none:F' > {formats}/register || echo no interpreter\n\
             ./inside/x.shout; ./x.shout\n\
             echo 0 > {formats}/shout; head -1 {formats}/shout; ./inside/x.shout || echo off\n\
             echo 1 > {formats}/shout; echo 0 > {formats}/status; cat {formats}/status\n\
             ./inside/x.shout || echo off; echo -1 > {formats}/status; ls {formats}; umount {formats}"
        );
        let view = View::of(combination).preload("umbinfmt").folder(work.path());
        let output = view.run(&line);
        assert_eq!(
            output.success(),
            "register\nshout\nstatus\nenabled\ninterpreter /bin/cat\nflags: \nextension .shout\n\
             exists\nno interpreter\ntext\noutside\ndisabled\noff\ndisabled\noff\n\
             register\nstatus\n",
            "{combination:?}: {output:?}"
        );
    }
}
