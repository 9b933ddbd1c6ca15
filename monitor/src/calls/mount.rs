//! mount(2): the only verb of configuration.

use super::Ctx;
use super::name::Led;
use crate::hostview;
use crate::monitor::Monitor;
use crate::mounts::{Content, Flags, Mount, Power};
use crate::path;
use crate::tasks::Proc;
use crate::view::{PRESENT, Service, View};
use abi::dev::DevNum;
use abi::host::Epoch;
use abi::module::{MountError, MountRequest, Object};
use abi::options::Options;
use abi::{Errno, Result};
use engine::Answer;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use syscalls::GroupSet;

/// `st_dev` numbers of virtual mounts: a major number that Linux keeps for local use.
const DEV_MAJOR: u32 = 4094;
/// Major number of devices that get none from an option.
const DISK_MAJOR: u32 = 240;

/// mount(2).
pub(super) fn mount(ctx: &Ctx<'_>) -> Result<Answer> {
    let text = |at: usize, max: usize| -> Result<String> {
        if ctx.arg(at) == 0 {
            return Ok(String::new());
        }
        ctx.tracee.read_string(ctx.arg(at), max).map(|b| path::text(&b))
    };
    let flags = ctx.arg(3);
    let fs_type = text(2, 4096).unwrap_or_default();
    let view = ctx.proc.view();
    let mut fs_type = view.alias(&fs_type).unwrap_or(fs_type);
    if is_plain_bind(flags, &fs_type) && view.service_for("viewfs").is_some() {
        fs_type = "viewfs".into();
    }
    let named = ctx.named(0)?;
    let service = view.service_for(&fs_type);
    let (flags, words) = if service.is_some() { words_of(flags) } else { (flags, "") };
    let special = libc::MS_REMOUNT
        | libc::MS_BIND
        | libc::MS_MOVE
        | libc::MS_SHARED
        | libc::MS_PRIVATE
        | libc::MS_SLAVE
        | libc::MS_UNBINDABLE;
    if flags & special != 0 {
        return on_existing(ctx, flags & special);
    }
    let Some(service) = service else {
        if view.services().is_empty() && view.parent.is_none() {
            return Ok(Answer::Native);
        }
        if let Some(hint) = ctx.m.modules.that_would_mount(&fs_type) {
            tracing::warn!(fs_type, "no loaded module has this type: um_add_service {hint}");
            return Err(Errno::ENODEV);
        }
        return Ok(Answer::Native);
    };
    let source = text(0, 4096)?;
    let mut data = text(4, 4096).unwrap_or_default();
    if !words.is_empty() {
        data = if data.is_empty() { words.to_owned() } else { format!("{words},{data}") };
    }
    let led = ctx.lead(&named)?;
    let target = led.found.view_path();
    let relative_source = absolute_source(ctx, &source);
    let wish = Wish { fs_type, source, absolute_source: relative_source, data, flags, target };
    match ctx.m.do_mount(&view, ctx.proc, ctx.tid(), &service, wish, &led) {
        Ok(groups) => {
            ctx.m.require_in(&view, groups);
            Ok(Answer::Require(groups, Box::new(Answer::Return(Ok(0)))))
        }
        Err(error) => {
            tracing::error!("mount refused: {}", error.message);
            ctx.m.say(&error.message);
            Err(error.errno)
        }
    }
}

/// `move` and `bind` are words of viewfs, of which mount(8) and busybox make flags before they look at the type.
fn words_of(flags: u64) -> (u64, &'static str) {
    let (rest, is) =
        (flags & !(libc::MS_BIND | libc::MS_MOVE | libc::MS_REC), |bit| flags & bit != 0);
    if is(libc::MS_REMOUNT) {
        (flags, "")
    } else if is(libc::MS_BIND) {
        (rest, "bind")
    } else if is(libc::MS_MOVE) {
        (rest, "move")
    } else {
        (flags, "")
    }
}

/// mount(8) gives no type with `bind`, whatever its user wrote: where viewfs is loaded it is viewfs's.
fn is_plain_bind(flags: u64, fs_type: &str) -> bool {
    flags & (libc::MS_BIND | libc::MS_REMOUNT) == libc::MS_BIND && matches!(fs_type, "" | "none")
}

/// A relative source starts at the caller's working directory.
fn absolute_source(ctx: &Ctx<'_>, source: &str) -> String {
    if source.is_empty() || source.starts_with('/') || source == "none" {
        return source.to_owned();
    }
    let mut walk = ctx.walker();
    let Ok((base, _)) = ctx.base(&mut walk, None) else { return source.to_owned() };
    match walk.walk(base, source.as_bytes(), true) {
        Ok(found) => path::text(&found.view_path()),
        Err(_) => source.to_owned(),
    }
}

/// Remount, bind, move and propagation: of virtual mounts what makes sense, of the host's the kernel's.
fn on_existing(ctx: &Ctx<'_>, special: u64) -> Result<Answer> {
    let named = ctx.named(0)?;
    let led = ctx.lead(&named)?;
    let target = led.found.view_path();
    let view = ctx.proc.view();
    if special & libc::MS_REMOUNT != 0 && ctx.m.is_mount_point(&view, &target) {
        // What can change is in the driver's hand at mount; the flags of the view stay.
        return Ok(Answer::Return(Ok(0)));
    }
    if special & (libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE) != 0
        && (ctx.proc.ids().is_some() || ctx.m.is_mount_point(&view, &target))
    {
        return Ok(Answer::Return(Ok(0)));
    }
    let is_virtual = led.found.place.as_ref().is_some_and(|p| p.host_path().is_none());
    if is_virtual { Err(Errno::EINVAL) } else { Ok(Answer::Native) }
}

/// The new mount API: answered so that libmount falls back to mount(2).
pub(super) fn new_api(ctx: &Ctx<'_>) -> Answer {
    if ctx.m.root_view.services().is_empty() && !ctx.m.has_names(ctx.tid()) {
        return Answer::Native;
    }
    Answer::Return(Err(Errno::ENOSYS))
}

/// pivot_root(2): the host's roots are not ours to change, and a virtual root is changed by chroot(2).
pub(super) fn pivot_root(ctx: &Ctx<'_>) -> Answer {
    if ctx.m.has_names(ctx.tid()) { Answer::Return(Err(Errno::EINVAL)) } else { Answer::Native }
}

/// What was asked of mount(2).
pub(super) struct Wish {
    fs_type: String,
    source: String,
    pub(super) absolute_source: String,
    data: String,
    flags: u64,
    pub(super) target: Vec<u8>,
}

impl Wish {
    /// The source as a mount is listed with it.
    pub(super) fn source(&self) -> &str {
        if self.source.is_empty() { "none" } else { &self.source }
    }
}

/// Takes the options that the view obeys itself.
fn view_flags(options: &mut Options, bits: u64, target: &[u8]) -> Flags {
    let mut flags = Flags {
        read_only: bits & libc::MS_RDONLY != 0,
        no_exec: bits & libc::MS_NOEXEC != 0,
        no_suid: bits & libc::MS_NOSUID != 0,
        no_dev: bits & libc::MS_NODEV != 0,
        ..Flags::default()
    };
    flags.no_exec |= options.take_flag("noexec");
    flags.no_suid |= options.take_flag("nosuid");
    flags.no_dev |= options.take_flag("nodev");
    flags.permanent = options.take_flag("permanent");
    flags.human = options.take_flag("human") | options.take_flag("default_permissions");
    flags.merge = options.take_flag("merge");
    for except in options.take_all("except") {
        let full = if except.starts_with('/') && target == b"/" {
            path::normalize(except.as_bytes())
        } else if except.starts_with('/') {
            let plain = path::normalize(except.as_bytes());
            if path::below(&plain, target).is_some() {
                plain
            } else {
                path::normalize(&path::append(target, &plain[1..]))
            }
        } else {
            path::normalize(&path::append(target, except.as_bytes()))
        };
        flags.except.push(full);
    }
    flags
}

impl Monitor {
    fn do_mount(
        &self,
        view: &Arc<View>,
        proc: &Arc<Proc>,
        tid: i32,
        service: &Arc<Service>,
        wish: Wish,
        led: &Led,
    ) -> std::result::Result<GroupSet, MountError> {
        let _ = tid;
        let mut options = Options::parse(&owned_by_mounter(&wish, proc));
        let shown = shown_options(&wish);
        if service.module.name() == "viewfs" {
            let flags = view_flags(&mut options.clone(), wish.flags, &wish.target);
            self.mount_patchwork(view, service, &wish, options, flags, shown)?;
            return Ok(GroupSet::NAMES);
        }
        let flags = view_flags(&mut options, wish.flags, &wish.target);
        let mut request = MountRequest {
            fs_type: wish.fs_type.clone(),
            source: wish.absolute_source.clone(),
            target: path::text(&wish.target),
            read_only: flags.read_only,
            options,
        };
        let born = self.clock.tick();
        let host = super::host_at(self, view, Epoch(born.0 - 1));
        let node = NodeOptions::take(&mut request.options)?;
        let object = service.module.mount(host, &mut request)?;
        let before = Content::Redirect { source: wish.target.clone(), epoch: Epoch(born.0 - 1) };
        let (content, power) = self.content_of(object, &node, before);
        // The files that steer a set of calls need no directory of the host to stand in for.
        let may_be_ghost = matches!(power, Power::Calls(_)) && led.found.place.is_none();
        if !matches!(content, Content::Device { .. }) && !may_be_ghost {
            must_be_directory(led)?;
        }
        let mut groups = GroupSet::NAMES;
        if let Power::Calls(set) = &power {
            groups |= groups_of(&set.numbers());
        }
        let clocks = match &power {
            Power::Calls(set) => set.clocks(),
            _ => None,
        };
        let is_ghost = led.found.place.is_none();
        self.insert_mount(view, service, &wish, content, power, flags, shown, born, is_ghost);
        if let Some(clocks) = clocks {
            // Files that are open have times, too.
            groups |= GroupSet::STAT;
            let monitor = Arc::downgrade(&self.arc());
            clocks.watch(Box::new(move |change| {
                if let Some(monitor) = monitor.upgrade() {
                    monitor.clocks_change(change);
                }
            }));
            self.refresh_clocks();
        }
        Ok(groups)
    }

    /// What a mount shows and does. Where it shows nothing of its own, `before` is what was there.
    fn content_of(&self, object: Object, node: &NodeOptions, before: Content) -> (Content, Power) {
        match object {
            Object::Tree(fs) => (Content::Tree(fs), Power::None),
            Object::Device(device) => (self.device_content(device, node), Power::None),
            Object::Calls(set, tree) => (tree.map_or(before, Content::Tree), Power::Calls(set)),
            Object::Formats(formats, fs) => (Content::Tree(fs), Power::Formats(formats)),
        }
    }

    fn device_content(&self, device: Arc<dyn abi::dev::Device>, node: &NodeOptions) -> Content {
        let own = nix::unistd::getuid().as_raw();
        let major = node.major.unwrap_or(DISK_MAJOR);
        let minor = node.minor.unwrap_or_else(|| (self.new_id() as u32 & 0xff) << 8);
        Content::Device {
            device,
            numbers: DevNum { major, minor },
            perm: node.mode.unwrap_or(0o660) as u16,
            uid: node.uid.unwrap_or(own),
            gid: node.gid.unwrap_or_else(|| nix::unistd::getgid().as_raw()),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one record")]
    pub(super) fn insert_mount(
        &self,
        view: &View,
        service: &Arc<Service>,
        wish: &Wish,
        content: Content,
        power: Power,
        flags: Flags,
        options: String,
        born: Epoch,
        is_ghost: bool,
    ) {
        let id = self.new_id();
        service.uses.fetch_add(1, Ordering::AcqRel);
        let mount = Arc::new(Mount {
            id,
            view: view.id,
            born,
            target: wish.target.clone(),
            source: wish.source().to_owned(),
            full_source: wish.absolute_source.clone(),
            fs_type: wish.fs_type.clone(),
            options,
            content,
            power,
            flags,
            dev: DevNum { major: DEV_MAJOR, minor: id as u32 },
            service: Some(Arc::clone(service)),
            detached: AtomicBool::new(false),
            renewed: AtomicU64::new(0),
            is_ghost,
            is_hidden: false,
            answers: Default::default(),
        });
        self.mounts.insert(Arc::clone(&mount));
        self.show_in_sysfs(&mount);
        self.forget_directories();
    }

    /// Whether something is mounted at exactly this path, and shows there.
    pub(crate) fn is_mount_point(&self, view: &View, at: &[u8]) -> bool {
        let mounts = self.mounts.snapshot();
        mounts.at(view, PRESENT, at, mounts.rank_over(view, PRESENT, at)).is_some()
    }

    /// Writes back everything of a mount.
    pub(crate) fn sync_mount(&self, mount: &Mount) -> Result<()> {
        for file in self.vfiles.of_mount(mount.id) {
            file.flush_maps()?;
            file.write_pages()?;
        }
        match &mount.content {
            Content::Tree(fs) | Content::Overlay { tree: fs, .. } => fs.sync(),
            Content::Device { device, .. } => match device.block(0) {
                Ok(block) => block.flush(),
                Err(_) => device.flush(),
            },
            Content::Redirect { .. } => Ok(()),
        }
    }

    /// From this moment on the processes of a view are trapped for names.
    pub(crate) fn require_names(&self, view: &View) {
        self.require_in(view, GroupSet::NAMES);
    }

    /// From this moment on the processes of a view, and of the views in it, are trapped for these groups.
    pub(crate) fn require_in(&self, view: &View, groups: GroupSet) {
        for proc in self.tasks.processes() {
            if proc.view().is_or_descends_from(view.id) {
                self.engine().require(engine::Tid(proc.tgid), groups);
            }
        }
    }

    pub(crate) fn has_names(&self, tid: i32) -> bool {
        self.engine()
            .process(engine::Tid(tid))
            .is_some_and(|p| p.required().contains(GroupSet::NAMES))
    }

    /// After a rename: remembered directories may have moved.
    pub(crate) fn renamed(&self) {
        self.forget_directories();
        for proc in self.tasks.processes() {
            proc.fs.lock().unwrap_or_else(PoisonError::into_inner).host_cwd = None;
        }
    }
}

/// A format without owners shows its files as those of who mounts it, as the kernel's vfat does.
fn owned_by_mounter(wish: &Wish, proc: &Proc) -> String {
    if !wish.fs_type.starts_with("umfusefat") {
        return wish.data.clone();
    }
    let who = proc.credentials();
    let mut data = format!("uid={},gid={}", who.fsuid, who.fsgid);
    if !wish.data.is_empty() {
        data.push(',');
        data.push_str(&wish.data);
    }
    data
}

/// The groups of calls that a set must see: those that are trapped for the whole view, once something is virtual.
fn groups_of(numbers: &[u32]) -> GroupSet {
    let rows = numbers.iter().filter_map(|&n| syscalls::row(n));
    let all = rows.fold(GroupSet::empty(), |sum, row| sum | row.groups());
    all & (GroupSet::UNAME | GroupSet::TIME | GroupSet::NET)
}

/// As shown by mount(8): the flags first, then what was given.
fn shown_options(wish: &Wish) -> String {
    let mut words = vec![if wish.flags & libc::MS_RDONLY != 0 { "ro" } else { "rw" }];
    for (bit, word) in
        [(libc::MS_NOSUID, "nosuid"), (libc::MS_NODEV, "nodev"), (libc::MS_NOEXEC, "noexec")]
    {
        if wish.flags & bit != 0 {
            words.push(word);
        }
    }
    if !wish.data.is_empty() {
        words.push(&wish.data);
    }
    words.join(",")
}

fn must_be_directory(led: &Led) -> std::result::Result<(), MountError> {
    match &led.found.place {
        Some(place) if place.is_directory() => Ok(()),
        Some(_) => Err(MountError::new(Errno::ENOTDIR, "the mount point is not a directory")),
        None => Err(MountError::new(Errno::ENOENT, "the mount point does not exist")),
    }
}

/// Options of a device node.
struct NodeOptions {
    mode: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
}

impl NodeOptions {
    /// Peeks: the module itself takes and checks them.
    fn take(options: &mut Options) -> std::result::Result<Self, MountError> {
        let mut look = options.clone();
        let mut number = |key: &str| -> std::result::Result<Option<u32>, MountError> {
            Ok(look.take_number(key)?.and_then(|n| u32::try_from(n).ok()))
        };
        let (uid, gid) = (number("uid")?, number("gid")?);
        let (major, minor) = (number("major")?, number("minor")?);
        let mode = look
            .take_value("mode")
            .and_then(|text| u64::from_str_radix(text.trim_start_matches("0o"), 8).ok());
        Ok(Self { mode, uid, gid, major, minor })
    }
}

/// Mounts what a service brings by itself when it is loaded (`unreal`).
pub(crate) fn mount_service(m: &Monitor, view: &Arc<View>, service: &Arc<Service>) {
    match service.module.name() {
        "umfuse" | "umdev" => {
            m.offer_loops();
            return m.offer_notes();
        }
        "unreal" => {}
        _ => return,
    }
    let born = m.clock.tick();
    let wish = Wish {
        fs_type: "unreal".into(),
        source: "none".into(),
        absolute_source: "/".into(),
        data: String::new(),
        flags: 0,
        target: b"/unreal".to_vec(),
    };
    // It sees itself, so that /unreal/unreal leads to the same again.
    let content = Content::Redirect { source: b"/".to_vec(), epoch: born };
    let is_ghost = hostview::lstat(b"/unreal").is_err();
    m.insert_mount(
        view,
        service,
        &wish,
        content,
        Power::None,
        Flags::default(),
        "rw".into(),
        born,
        is_ghost,
    );
}
