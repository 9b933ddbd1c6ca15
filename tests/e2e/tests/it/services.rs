//! Modules: listed, loaded, unloaded.

use e2e::{View, Work, combinations};

#[test]
fn a_module_is_listed_from_its_loading_to_its_unloading() {
    for combination in combinations() {
        let output = View::of(combination).run(
            "um_ls_service; um_add_service umfuse umdev && um_ls_service | cut -d: -f1 | sort; \
             um_del_service umfuse && um_ls_service | cut -d: -f1",
        );
        assert_eq!(output.success(), "umdev\numfuse\numdev\n", "{combination:?}");
    }
}

#[test]
fn what_is_refused_has_a_status_and_a_cause() {
    for combination in combinations() {
        let view = View::of(combination).preload("umfuse");
        for (line, cause) in [
            ("um_add_service nosuch", "no module nosuch; there are: umfuse"),
            ("um_add_service umfuse", "umfuse is loaded already"),
            ("um_add_service umdev,nosuch", "umdev has no option \"nosuch\""),
            ("um_del_service umdev", "umdev is not loaded in this view"),
            ("um_add_service -p umdev && um_del_service umdev", "umdev was loaded as permanent"),
            ("um_attach 1999999999", "there is no process 1999999999"),
        ] {
            let output = view.run(line);
            assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{line}: {output:?}");
            assert!(output.stderr.contains(cause), "{line}: {output:?}");
        }
    }
}

#[test]
fn outside_a_view_every_command_says_so() {
    let native = e2e::native(e2e::User::Root);
    for command in [
        "um_add_service umfuse",
        "um_ls_service",
        "um_del_service umfuse",
        "um_fsalias a b",
        "um_attach 1",
        "viewsu",
        "viewsudo id",
        "viewname",
        "vuname -U",
        "umshutdown 0",
    ] {
        let output = native.run(command);
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{command}: {output:?}");
        assert!(
            output.stderr.contains("not in a view: start one with `umview`"),
            "{command}: {output:?}"
        );
    }
}

#[test]
fn a_module_in_use_stays() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let folder = work.folder("mnt");
        let output = View::of(combination).preload("viewfs").run(&format!(
            "viewmount -t viewfs /usr {folder} && ls -d {folder}/bin; um_del_service viewfs; echo $?; \
             viewumount {folder} && um_del_service viewfs && um_ls_service"
        ));
        assert_eq!(output.success(), format!("{folder}/bin\n1\n"), "{combination:?}: {output:?}");
        assert!(output.stderr.contains("viewfs is in use"), "{output:?}");
    }
}

#[test]
fn an_alias_means_a_type_until_it_is_forgotten() {
    for combination in combinations() {
        let work = Work::new(combination.1);
        let folder = work.folder("mnt");
        let output = View::of(combination).preload("viewfs").run(&format!(
            "um_fsalias other viewfs && um_fsalias && viewmount -t other /usr {folder} && ls -d {folder}/bin && \
             viewumount {folder} && um_fsalias other && um_fsalias && viewmount -t other /usr {folder}"
        ));
        assert_eq!(
            output.stdout,
            format!("other viewfs\n{folder}/bin\n"),
            "{combination:?}: {output:?}"
        );
        assert_eq!(output.code, Some(1), "{output:?}");
    }
}
