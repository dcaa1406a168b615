//! Mounts and commands from their beginning to their end: statuses, signals, what is left.
//!
//! Each test is a script in a mount namespace of its own; some are run by an ordinary user there. It
//! needs root, /dev/fuse, util-linux (unshare, setpriv), bash and fuse3, and one file systemd.

mod exports;
mod library;
mod mount;
mod recipes;
mod recovery;
mod recovery_faces;
mod run;
mod sandbox;
mod shortage;
mod systemd;
mod terminal;
mod upgrade;
mod users;
