//! A file system over a file system.

use crate::call::Call;
use abi::Result;
use abi::dev::DevNum;
use abi::fs::{
    Attr, Caller, Cookie, DirSink, FallocateMode, FileKind, FileSystem, Handle, Ino, Latency, Name,
    OpenFlags, Opened, RenameFlags, SeekTo, SetAttr, StatFs, XattrFlags,
};
use std::sync::Arc;

/// What a layer does around the calls of the file system below.
pub trait Hook: Send + Sync {
    /// Lets one call through, or answers it.
    ///
    /// # Errors
    /// Those of `run`, and the hook's own.
    fn around<T>(&self, call: Call<'_>, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let _ = call;
        run()
    }

    /// Changes attributes on their way up.
    fn show(&self, attr: Attr) -> Attr {
        attr
    }

    /// Changes the wishes of setattr on their way down.
    ///
    /// # Errors
    /// - `EPERM` if what is shown can't be changed.
    fn admit(&self, changes: SetAttr) -> Result<SetAttr> {
        Ok(changes)
    }

    /// Whether mutations are refused, if `below` refuses them or not.
    fn is_read_only(&self, below: bool) -> bool {
        below
    }
}

/// The file system `inner` with a hook around every call.
pub struct Layered<H> {
    inner: Arc<dyn FileSystem>,
    root: Ino,
    /// The hook.
    pub hook: H,
}

impl<H: Hook> Layered<H> {
    /// Puts `hook` around `inner`.
    pub fn new(inner: Arc<dyn FileSystem>, hook: H) -> Self {
        let root = inner.root();
        Self { inner, root, hook }
    }

    fn attr(&self, call: Call<'_>, run: impl FnOnce() -> Result<Attr>) -> Result<Attr> {
        self.hook.around(call, run).map(|attr| self.hook.show(attr))
    }

    fn made(
        &self,
        call: Call<'_>,
        run: impl FnOnce() -> Result<(Attr, Opened)>,
    ) -> Result<(Attr, Opened)> {
        self.hook.around(call, run).map(|(attr, opened)| (self.hook.show(attr), opened))
    }
}

impl<H: Hook> FileSystem for Layered<H> {
    fn root(&self) -> Ino {
        self.root
    }

    fn statfs(&self) -> Result<StatFs> {
        self.hook.around(Call::Statfs, || self.inner.statfs())
    }

    fn sync(&self) -> Result<()> {
        self.hook.around(Call::Sync, || self.inner.sync())
    }

    fn latency(&self) -> Latency {
        let answer = self.hook.around(Call::Latency, || Ok(self.inner.latency()));
        answer.unwrap_or(Latency::Local)
    }

    fn is_read_only(&self) -> bool {
        let below = self.hook.around(Call::IsReadOnly, || Ok(self.inner.is_read_only()));
        self.hook.is_read_only(below.unwrap_or(true))
    }

    fn lookup(&self, parent: Ino, name: Name<'_>) -> Result<Attr> {
        self.attr(Call::Lookup { parent, name }, || self.inner.lookup(parent, name))
    }

    fn forget(&self, ino: Ino, count: u64) {
        let run = || {
            self.inner.forget(ino, count);
            Ok(())
        };
        // There is nobody to tell.
        let _ = self.hook.around(Call::Forget { ino, count }, run);
    }

    fn getattr(&self, ino: Ino) -> Result<Attr> {
        self.attr(Call::Getattr { ino }, || self.inner.getattr(ino))
    }

    fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        self.hook.around(Call::Readlink { ino }, || self.inner.readlink(ino))
    }

    fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened> {
        self.hook.around(Call::Open { ino, flags }, || self.inner.open(caller, ino, flags))
    }

    fn release(&self, handle: Handle) {
        let run = || {
            self.inner.release(handle);
            Ok(())
        };
        // There is nobody to tell.
        let _ = self.hook.around(Call::Release { handle }, run);
    }

    fn read(&self, handle: Handle, buf: &mut [u8], offset: u64) -> Result<usize> {
        let call = Call::Read { handle, length: buf.len(), offset };
        self.hook.around(call, || self.inner.read(handle, buf, offset))
    }

    fn readdir(&self, handle: Handle, cookie: Cookie, sink: &mut DirSink<'_>) -> Result<()> {
        let call = Call::Readdir { handle, cookie };
        self.hook.around(call, || self.inner.readdir(handle, cookie, sink))
    }

    fn lseek(&self, handle: Handle, offset: u64, to: SeekTo) -> Result<u64> {
        let call = Call::Lseek { handle, offset, to };
        self.hook.around(call, || self.inner.lseek(handle, offset, to))
    }

    fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        self.hook.around(Call::Getxattr { ino, name }, || self.inner.getxattr(ino, name))
    }

    fn listxattr(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        self.hook.around(Call::Listxattr { ino }, || self.inner.listxattr(ino))
    }

    fn setattr(&self, caller: Caller, ino: Ino, changes: &SetAttr) -> Result<Attr> {
        self.attr(Call::Setattr { ino, changes }, || {
            let admitted = self.hook.admit(*changes)?;
            self.inner.setattr(caller, ino, &admitted)
        })
    }

    fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let call = Call::Create { parent, name, perm, flags };
        self.made(call, || self.inner.create(caller, parent, name, perm, flags))
    }

    fn tmpfile(
        &self,
        caller: Caller,
        parent: Ino,
        perm: u16,
        flags: OpenFlags,
    ) -> Result<(Attr, Opened)> {
        let call = Call::Tmpfile { parent, perm, flags };
        self.made(call, || self.inner.tmpfile(caller, parent, perm, flags))
    }

    fn mknod(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        kind: FileKind,
        perm: u16,
        rdev: DevNum,
    ) -> Result<Attr> {
        let call = Call::Mknod { parent, name, kind, perm };
        self.attr(call, || self.inner.mknod(caller, parent, name, kind, perm, rdev))
    }

    fn mkdir(&self, caller: Caller, parent: Ino, name: Name<'_>, perm: u16) -> Result<Attr> {
        let call = Call::Mkdir { parent, name, perm };
        self.attr(call, || self.inner.mkdir(caller, parent, name, perm))
    }

    fn symlink(&self, caller: Caller, parent: Ino, name: Name<'_>, target: &[u8]) -> Result<Attr> {
        let call = Call::Symlink { parent, name, target };
        self.attr(call, || self.inner.symlink(caller, parent, name, target))
    }

    fn link(&self, caller: Caller, ino: Ino, parent: Ino, name: Name<'_>) -> Result<Attr> {
        let call = Call::Link { ino, parent, name };
        self.attr(call, || self.inner.link(caller, ino, parent, name))
    }

    fn unlink(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let call = Call::Unlink { parent, name };
        self.hook.around(call, || self.inner.unlink(caller, parent, name))
    }

    fn rmdir(&self, caller: Caller, parent: Ino, name: Name<'_>) -> Result<()> {
        let call = Call::Rmdir { parent, name };
        self.hook.around(call, || self.inner.rmdir(caller, parent, name))
    }

    fn rename(
        &self,
        caller: Caller,
        parent: Ino,
        name: Name<'_>,
        new_parent: Ino,
        new_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let call = Call::Rename { parent, name, new_parent, new_name, flags };
        self.hook
            .around(call, || self.inner.rename(caller, parent, name, new_parent, new_name, flags))
    }

    fn write(&self, handle: Handle, buf: &[u8], offset: u64) -> Result<usize> {
        let call = Call::Write { handle, length: buf.len(), offset };
        self.hook.around(call, || self.inner.write(handle, buf, offset))
    }

    fn fsync(&self, handle: Handle, data_only: bool) -> Result<()> {
        let call = Call::Fsync { handle, data_only };
        self.hook.around(call, || self.inner.fsync(handle, data_only))
    }

    fn fallocate(
        &self,
        handle: Handle,
        mode: FallocateMode,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let call = Call::Fallocate { handle, mode, offset, length };
        self.hook.around(call, || self.inner.fallocate(handle, mode, offset, length))
    }

    fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
        let call = Call::Setxattr { ino, name, length: value.len(), flags };
        self.hook.around(call, || self.inner.setxattr(ino, name, value, flags))
    }

    fn removexattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        self.hook.around(Call::Removexattr { ino, name }, || self.inner.removexattr(ino, name))
    }
}
