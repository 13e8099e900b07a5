//! A listener on this machine whose connections are made from inside a network namespace: how a browser, `kubectl` or
//! a test reaches a cluster that has no link to the outside.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Long enough for a busy machine, short enough to try the next node while somebody waits.
const DIAL: Duration = Duration::from_secs(2);

/// An open listener; it and its connections end when this is dropped.
pub struct Forward {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    /// Any of these leads to the target; a dead node's does not, then the next is tried.
    namespaces: Vec<PathBuf>,
    target: SocketAddr,
    last_good: AtomicUsize,
    closing: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Forward {
    /// Listens at an address of this machine (port 0: any free one).
    pub fn open(listen: SocketAddr, namespaces: Vec<PathBuf>, target: SocketAddr) -> Result<Self> {
        let listener =
            TcpListener::bind(listen).with_context(|| format!("failed to listen at {listen}"))?;
        let address = listener
            .local_addr()
            .context("failed to read the listener's address")?;
        let shared = Arc::new(Shared {
            namespaces,
            target,
            last_good: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every open connection, as a lost network does; new ones are still accepted.
    pub fn cut(&self) {
        let mut open = self
            .shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            // Already closed by its own end: just as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Goes on until the process ends.
    pub fn run(mut self) {
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for the next connection.
        let _ = TcpStream::connect_timeout(&self.address, DIAL);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.cut();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(near) = stream else { continue };
        let shared = Arc::clone(shared);
        // A thread of its own: entering a namespace changes the whole thread for good.
        thread::spawn(move || {
            if let Err(error) = serve(near, &shared) {
                eprintln!("{} not reached: {error:#}", shared.target);
            }
        });
    }
}

fn serve(near: TcpStream, shared: &Shared) -> Result<()> {
    let far = dial(shared)?;
    for stream in [&near, &far] {
        // Streamed answers are many small writes.
        stream.set_nodelay(true).context("failed to set nodelay")?;
        let copy = stream.try_clone().context("failed to keep a connection")?;
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(copy);
    }
    let (near_again, far_again) = (
        near.try_clone().context("failed to share a connection")?,
        far.try_clone().context("failed to share a connection")?,
    );
    let back = thread::spawn(move || copy(far_again, near_again));
    copy(near, far);
    let _ = back.join();
    Ok(())
}

/// Copies until the end, then says so to the other side; the other direction goes on.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let whole = io::copy(&mut from, &mut to).is_ok();
    let _ = to.shutdown(if whole {
        Shutdown::Write
    } else {
        Shutdown::Both
    });
}

fn dial(shared: &Shared) -> Result<TcpStream> {
    let first = shared.last_good.load(Ordering::Relaxed);
    let mut refusal = None;
    for offset in 0..shared.namespaces.len() {
        let index = (first + offset) % shared.namespaces.len();
        match enter(&shared.namespaces[index])
            .and_then(|()| Ok(TcpStream::connect_timeout(&shared.target, DIAL)?))
        {
            Ok(stream) => {
                shared.last_good.store(index, Ordering::Relaxed);
                return Ok(stream);
            }
            Err(error) => {
                refusal =
                    Some(error.context(format!("from {}", shared.namespaces[index].display())));
            }
        }
    }
    Err(refusal.unwrap_or_else(|| anyhow::anyhow!("no network namespace to connect from")))
}

/// Moves this thread into a network namespace.
fn enter(namespace: &PathBuf) -> Result<()> {
    let file =
        File::open(namespace).with_context(|| format!("failed to open {}", namespace.display()))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("failed to enter {} (root is needed)", namespace.display()))
}
