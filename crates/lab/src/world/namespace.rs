//! A network namespace: one thread that lives in it, from which programs and further threads are started.
//!
//! The thread unshares its network and its mounts. What it starts inherits both, so nothing else in the process ever
//! changes namespaces, and no program has to be told where it runs. Own mounts give each host its own
//! `/etc/resolv.conf` and make its programs trust the scenario's CA.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::LabError;

type Work = Box<dyn FnOnce() + Send>;

/// A namespace that is open as long as this process lives.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name, under which `ip netns` knows it inside the world.
    pub name: String,
    /// The thread that holds it, as the world numbers it.
    pub thread_id: i32,
    work: Sender<Work>,
}

impl Namespace {
    /// Makes a namespace, and gives it a name in `/run/netns`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(name: &str, routes: bool) -> Result<Self, LabError> {
        let (work, jobs) = channel::<Work>();
        let (ready, is_ready) = channel();
        let own = name.to_owned();
        thread::Builder::new()
            .name(format!("ns-{name}"))
            .spawn(move || {
                let made = enter(&own, routes).map(|()| rustix::thread::gettid().as_raw_nonzero().get());
                let failed = made.is_err();
                if ready.send(made).is_err() || failed {
                    return;
                }
                for job in jobs {
                    job();
                }
            })
            .map_err(|e| LabError::Namespaces(e.to_string()))?;
        let made = is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended")));
        let thread_id = made.map_err(|e| LabError::Namespaces(format!("{name}: {e}")))?;
        Ok(Self { name: name.to_owned(), thread_id, work })
    }

    /// Runs something in the namespace and waits for it. For short things only: the next has to wait.
    ///
    /// # Errors
    /// If the namespace's thread is gone.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (give, take) = channel();
        let job: Work = Box::new(move || drop(give.send(job())));
        self.work.send(job).map_err(|_| gone())?;
        take.recv().map_err(|_| gone())
    }

    /// Starts a thread in the namespace.
    ///
    /// # Errors
    /// If none can be started.
    pub fn start(
        &self,
        name: &str,
        job: impl FnOnce() + Send + 'static,
    ) -> io::Result<thread::JoinHandle<()>> {
        let name: String = name.chars().take(15).collect();
        self.run(move || thread::Builder::new().name(name).spawn(job))?
    }

    /// Starts a program in the namespace.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, mut command: Command) -> io::Result<Child> {
        self.run(move || command.spawn())?
    }

    /// Shows `file` in the place of `over` to everything in the namespace.
    ///
    /// # Errors
    /// If the kernel refuses, or `over` does not exist.
    pub fn cover(&self, file: &Path, over: &Path) -> io::Result<()> {
        let (file, over) = (file.to_owned(), over.to_owned());
        self.run(move || {
            mount(Some(&file), &over, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(io::Error::from)
        })?
    }
}

fn gone() -> io::Error {
    io::Error::other("the namespace's thread is gone")
}

fn enter(name: &str, routes: bool) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    // The name must be seen by the whole world, so it is given before this thread's mounts become its own.
    let handle = Path::new("/run/netns").join(name);
    fs::write(&handle, "")?;
    let own = format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_nonzero());
    mount(Some(own.as_str()), &handle, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let routes = if routes { "1" } else { "0" };
    for (key, value) in [
        ("ipv4/ip_forward", routes),
        ("ipv6/conf/all/forwarding", routes),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // Pings by programs without privileges.
        ("ipv4/ping_group_range", "0 0"),
        // Answers from routers are never held back: the lab measures them.
        ("ipv4/icmp_ratelimit", "0"),
    ] {
        // A kernel without IPv6 has no such keys; what then fails says so itself.
        match fs::write(Path::new("/proc/sys/net").join(key), value) {
            Err(e) if e.kind() != io::ErrorKind::NotFound && key == "ipv4/ip_forward" => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
