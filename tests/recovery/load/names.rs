//! Operations on names: each of them once, whatever happens to the worker.

use rustix::fs::{self as fs, AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::model::{DIRS, FILES, File, Object};
use super::{Load, Outcome, errno, expect, timed};

impl Load {
    pub(super) fn step_of_names(&mut self) -> Outcome {
        match self.rng.below(9) {
            0..=1 => self.create(),
            2 => self.unlink(),
            3 => self.rename(),
            4 => self.link(),
            5 => self.mkdir(),
            6 => self.rmdir(),
            7 if !self.is_export => self.symlink(),
            _ => self.list(),
        }
    }

    pub(super) fn any_name(&mut self) -> String {
        let file = self.rng.pick(&FILES);
        match self.rng.below(3) {
            0 => file.to_owned(),
            _ => format!("{}/{file}", self.rng.pick(&DIRS)),
        }
    }

    /// `open` with `O_CREAT | O_EXCL`.
    fn create(&mut self) -> Outcome {
        let name = self.any_name();
        let path = self.path(&name);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let made = timed(&mut self.watch, || {
            fs::open(&path, flags, Mode::from_raw_mode(0o640))
        });
        let wanted = self.cannot_be_made(&name);
        expect(
            || format!("create {name}"),
            made.as_ref().err().copied(),
            wanted,
        )?;
        if let Ok(file) = made {
            let object = File {
                mode: 0o640,
                ..File::default()
            };
            let id = self.model.add(&name, Object::File(object));
            self.keep_open(file, id);
        }
        Ok(())
    }

    fn cannot_be_made(&self, name: &str) -> Option<Errno> {
        match (self.model.has_parent(name), self.model.at(name)) {
            (false, _) => Some(Errno::NOENT),
            (true, Some(_)) => Some(Errno::EXIST),
            (true, None) => None,
        }
    }

    fn unlink(&mut self) -> Outcome {
        let name = self.any_name();
        let path = self.path(&name);
        let gone = errno(timed(&mut self.watch, || fs::unlink(&path)));
        let wanted = self.model.at(&name).is_none().then_some(Errno::NOENT);
        expect(|| format!("unlink {name}"), gone, wanted)?;
        if let Some(id) = self.model.remove(&name) {
            self.forget_unless_held(id);
        }
        Ok(())
    }

    fn rename(&mut self) -> Outcome {
        let (from, to) = match self.rng.below(4) {
            0 => (
                self.rng.pick(&DIRS).to_owned(),
                self.rng.pick(&DIRS).to_owned(),
            ),
            _ => (self.any_name(), self.any_name()),
        };
        let flags = self.rng.pick(&[
            RenameFlags::empty(),
            RenameFlags::NOREPLACE,
            RenameFlags::EXCHANGE,
        ]);
        let (path, new_path) = (self.path(&from), self.path(&to));
        let renamed = errno(timed(&mut self.watch, || {
            fs::renameat_with(CWD, &path, CWD, &new_path, flags)
        }));
        let wanted = self.cannot_be_renamed(&from, &to, flags);
        expect(|| format!("rename {from} {to} {flags:?}"), renamed, wanted)?;
        if renamed.is_none() {
            self.renamed(&from, &to, flags);
        }
        Ok(())
    }

    fn cannot_be_renamed(&self, from: &str, to: &str, flags: RenameFlags) -> Option<Errno> {
        let model = &self.model;
        if !model.has_parent(from) || !model.has_parent(to) {
            return Some(Errno::NOENT);
        }
        let Some(source) = model.at(from) else {
            return Some(Errno::NOENT);
        };
        let Some(target) = model.at(to) else {
            return (flags == RenameFlags::EXCHANGE).then_some(Errno::NOENT);
        };
        if flags == RenameFlags::NOREPLACE {
            return Some(Errno::EXIST);
        }
        if from == to || flags == RenameFlags::EXCHANGE {
            return None;
        }
        match (source, target) {
            (Object::Dir, Object::Dir) if !model.is_empty(to) => Some(Errno::NOTEMPTY),
            (Object::Dir, Object::Dir) => None,
            (_, Object::Dir) => Some(Errno::ISDIR),
            (Object::Dir, _) => Some(Errno::NOTDIR),
            (_, _) => None,
        }
    }

    fn renamed(&mut self, from: &str, to: &str, flags: RenameFlags) {
        if from == to || self.model.names.get(from) == self.model.names.get(to) {
            return;
        }
        if flags == RenameFlags::EXCHANGE {
            self.model.rename(from, "\0");
            self.model.rename(to, from);
            self.model.rename("\0", to);
            return;
        }
        let replaced = self.model.remove(to);
        self.model.rename(from, to);
        if let Some(id) = replaced {
            self.forget_unless_held(id);
        }
    }

    fn link(&mut self) -> Outcome {
        let (from, to) = (self.any_name(), self.any_name());
        let (path, new_path) = (self.path(&from), self.path(&to));
        let linked = errno(timed(&mut self.watch, || {
            fs::linkat(CWD, &path, CWD, &new_path, AtFlags::empty())
        }));
        let wanted = match self.model.at(&from) {
            None => Some(Errno::NOENT),
            Some(_) => self.cannot_be_made(&to),
        };
        expect(|| format!("link {from} {to}"), linked, wanted)?;
        let id = self.model.names.get(&from).copied();
        if let (None, Some(id)) = (linked, id) {
            self.model.names.insert(to, id);
        }
        Ok(())
    }

    fn mkdir(&mut self) -> Outcome {
        let name = self.rng.pick(&DIRS);
        let path = self.path(name);
        let made = errno(timed(&mut self.watch, || {
            fs::mkdir(&path, Mode::from_raw_mode(0o750))
        }));
        expect(|| format!("mkdir {name}"), made, self.cannot_be_made(name))?;
        if made.is_none() {
            self.model.add(name, Object::Dir);
        }
        Ok(())
    }

    fn rmdir(&mut self) -> Outcome {
        let name = self.rng.pick(&DIRS);
        // Directories would be full for ever.
        if self.rng.below(2) == 0 {
            self.empty(name)?;
        }
        let path = self.path(name);
        let gone = errno(timed(&mut self.watch, || {
            fs::unlinkat(CWD, &path, AtFlags::REMOVEDIR)
        }));
        let wanted = match self.model.at(name) {
            None => Some(Errno::NOENT),
            Some(_) if self.model.is_empty(name) => None,
            Some(_) => Some(Errno::NOTEMPTY),
        };
        expect(|| format!("rmdir {name}"), gone, wanted)?;
        if gone.is_none() {
            self.model.remove(name);
        }
        Ok(())
    }

    pub(super) fn empty(&mut self, dir: &str) -> Outcome {
        let names: Vec<String> = self.model.children(dir).map(str::to_owned).collect();
        for name in names {
            let name = format!("{dir}/{name}");
            let path = self.path(&name);
            let gone = errno(timed(&mut self.watch, || fs::unlink(&path)));
            expect(|| format!("unlink {name}"), gone, None)?;
            if let Some(id) = self.model.remove(&name) {
                self.forget_unless_held(id);
            }
        }
        Ok(())
    }

    fn symlink(&mut self) -> Outcome {
        let name = self.any_name();
        let target = format!("/nowhere/{}", "t".repeat(self.rng.below(300)));
        let path = self.path(&name);
        let made = errno(timed(&mut self.watch, || fs::symlink(&target, &path)));
        expect(
            || format!("symlink {name}"),
            made,
            self.cannot_be_made(&name),
        )?;
        if made.is_none() {
            self.model.add(&name, Object::Symlink(target));
        }
        Ok(())
    }

    /// A directory has the names that it should, each once.
    fn list(&mut self) -> Outcome {
        let name = self.rng.pick(&DIRS);
        self.check_names(name)
    }

    pub(super) fn check_names(&mut self, dir: &str) -> Outcome {
        let path = self.path(dir);
        let read = timed(&mut self.watch, || super::held::names_in(&path));
        if self.model.at(dir).is_none() {
            return expect(|| format!("list {dir}"), errno(read), Some(Errno::NOENT));
        }
        let mut names = read.map_err(|e| format!("list {dir}: {e}"))?;
        names.sort_unstable();
        let wanted: Vec<&str> = self.model.children(dir).collect();
        if names != wanted {
            return Err(format!("{dir} has {names:?} instead of {wanted:?}"));
        }
        Ok(())
    }
}
