//! Listening sockets that outlive the program. They come from whoever started it (systemd's socket
//! activation: `LISTEN_FDS`, `LISTEN_PID`) or are bound here, and the program that follows gets them by the same
//! protocol: what connects meanwhile waits in the kernel, and nobody is refused.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io,
    net::SocketAddr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{self, Command, Stdio},
};

use listenfd::ListenFd;
use rustix::io::{DupFlags, FdFlags, dup3, fcntl_setfd};
use tokio::net::TcpListener;

/// The first descriptor of the protocol.
const FIRST: i32 = 3;

/// Doors: HTTPS, then PostgreSQL's protocol.
const DOORS: usize = 2;

/// Which door a socket is of; its descriptor is that many behind the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    Https = 0,
    Postgres = 1,
}

/// The sockets, at the descriptors at which the next program expects them.
#[derive(Debug, Default)]
pub struct Listeners {
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    /// The socket, or the null device where none is.
    descriptor: OwnedFd,
    /// What came with the program and nobody has asked for yet.
    given: Option<std::net::TcpListener>,
    is_bound: bool,
}

impl Listeners {
    /// Takes what the program was given, and keeps the descriptors for what it may hand on. To be called
    /// before anything else is opened; what is opened before costs the hand-over, and nothing else.
    pub fn take() -> Self {
        let mut inherited = ListenFd::from_env();
        let mut listeners = Self::default();
        for (door, number) in (0..DOORS).zip(FIRST..) {
            let socket = inherited.take_tcp_listener(door).ok().flatten();
            let given = socket.as_ref().and_then(|socket| socket.try_clone().ok());
            let descriptor = match socket {
                Some(socket) => Ok(OwnedFd::from(socket)),
                None => File::open("/dev/null").map(OwnedFd::from),
            };
            match descriptor {
                Ok(descriptor) if descriptor.as_raw_fd() == number => {
                    listeners.places.push(Place {
                        descriptor,
                        given,
                        is_bound: false,
                    });
                }
                _ => break,
            }
        }
        listeners
    }

    /// The socket of a door: the one that was given, if it has this address, else a new one.
    pub(crate) async fn bind(
        &mut self,
        door: Door,
        address: SocketAddr,
    ) -> io::Result<TcpListener> {
        let mut place = self.places.get_mut(door as usize);
        let given = place.as_mut().and_then(|place| place.given.take());
        let fits = |socket: &std::net::TcpListener| {
            let bound = socket.local_addr().ok();
            bound.is_some_and(|bound| {
                bound.ip() == address.ip()
                    && (address.port() == 0 || bound.port() == address.port())
            })
        };
        let listener = match given.filter(fits) {
            Some(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket)?
            }
            None => {
                let listener = TcpListener::bind(address).await?;
                if let Some(place) = &mut place {
                    // Programs that this one starts do not get it.
                    dup3(&listener, &mut place.descriptor, DupFlags::CLOEXEC)?;
                }
                listener
            }
        };
        if let Some(place) = place {
            place.is_bound = true;
        }
        Ok(listener)
    }

    /// Closes what was given and is not wanted.
    pub(crate) fn close_rest(&mut self) -> io::Result<()> {
        let rest = self.places.iter_mut().filter(|place| !place.is_bound);
        for place in rest {
            place.given = None;
            dup3(
                File::open("/dev/null")?,
                &mut place.descriptor,
                DupFlags::CLOEXEC,
            )?;
        }
        Ok(())
    }
}

/// The program that runs, as it was started: its file may be replaced meanwhile.
#[derive(Clone, Debug)]
pub struct Program {
    file: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This one.
    ///
    /// # Errors
    /// The system does not say which file it is.
    pub fn current() -> io::Result<Self> {
        Ok(Self {
            file: env::current_exe()?,
            arguments: env::args_os().skip(1).collect(),
        })
    }

    /// Whether the file is a program that takes the configuration: it is asked to explain it.
    ///
    /// # Errors
    /// What it says.
    pub fn check(&self) -> Result<(), String> {
        let settings = self.arguments.iter().skip(1);
        let output = Command::new(&self.file)
            .args(["config", "explain"])
            .args(settings)
            .stdin(Stdio::null())
            .output();
        let file = self.file.display();
        let output = output.map_err(|error| format!("{file}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{file}: {}", said.trim()))
    }

    /// Becomes that program, which listens where this one did. Returns only if that fails.
    pub fn replace(&self, listeners: &Listeners) -> io::Error {
        let places = listeners.places.iter().take_while(|place| place.is_bound);
        let mut count = 0;
        for place in places {
            if let Err(error) = fcntl_setfd(&place.descriptor, FdFlags::empty()) {
                return error.into();
            }
            count += 1;
        }
        Command::new(&self.file)
            .args(&self.arguments)
            .env("LISTEN_FDS", count.to_string())
            .env("LISTEN_PID", process::id().to_string())
            .exec()
    }
}
