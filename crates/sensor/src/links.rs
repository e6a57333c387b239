//! Threads that listen, and one that sees to it that they have something to listen to.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use daylight_capture::live::{self, LiveError, Tap};
use daylight_inspect::{Config, Fleet, FleetOptions, KeepLimits, RecordSink, Worker};

use crate::queue::{Exit, QueueCounters, WAITING_MAX, queue};
use crate::status::{Interface, Status};

/// So long a thread waits for packets before it looks at its other duties.
const PATIENCE: Duration = Duration::from_millis(100);
/// Batches taken from one interface before the next has its turn.
const TURN_BATCHES: usize = 16;
/// How often flows that go on are told of, counters are looked at, and interfaces that vanished are looked for.
const SECOND: Duration = Duration::from_secs(1);

/// Settings of a [`Sensor`].
#[derive(Clone)]
pub struct SensorOptions {
    /// What to listen to; at most 256.
    pub interfaces: Vec<String>,
    /// How.
    pub live: live::Options,
    /// The engine; [`Config::threads`] says how many.
    pub config: Arc<Config>,
    /// Any number, another on each run ([`FleetOptions::salt`]).
    pub salt: u64,
    /// Tell of flows that go on.
    pub reports: bool,
    /// Keep the first packets of flows for whoever may want them.
    pub keep: Option<KeepLimits>,
}

/// Interfaces that are open, and engines that do not run yet.
pub struct Sensor {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    exit: Exit,
}

/// A tap, with its interface and its number among that interface's.
struct Placed {
    place: Place,
    tap: Box<dyn Tap>,
}

/// Whose tap it is.
#[derive(Clone, Copy)]
struct Place {
    interface: usize,
    /// How often the interface had been opened before.
    time: u64,
    number: usize,
}

struct Shared {
    options: SensorOptions,
    interfaces: Vec<Interface>,
    fleet: Fleet,
    queue: Arc<QueueCounters>,
    /// Taps on their way to a worker.
    mail: Vec<Mutex<Vec<Placed>>>,
    stop: AtomicBool,
}

impl Sensor {
    /// Opens the interfaces.
    ///
    /// # Errors
    /// If one is not there, or can't be listened to. Later they may come and go.
    pub fn open(options: SensorOptions) -> Result<Self, LiveError> {
        let (entrance, exit, counters) = queue(WAITING_MAX);
        let fleet_options = FleetOptions {
            interfaces: options.interfaces.clone(),
            salt: options.salt,
            reports: options.reports,
            keep: options.keep,
        };
        let sink: Box<dyn RecordSink> = Box::new(entrance);
        let (fleet, workers) = Fleet::new(Arc::clone(&options.config), &fleet_options, sink);
        let shared = Arc::new(Shared {
            interfaces: options.interfaces.iter().map(|name| Interface::new(name)).collect(),
            fleet,
            queue: counters,
            mail: workers.iter().map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            options,
        });
        for number in 0..shared.interfaces.len() {
            shared.listen(number)?;
        }
        Ok(Self { shared, workers, exit })
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// If the system has no room for them.
    pub fn start(self) -> io::Result<(Running, Exit)> {
        let mut threads = Vec::new();
        for worker in self.workers {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(format!("engine-{}", worker.number()));
            threads.push(thread.spawn(move || shared.work(worker))?);
        }
        let shared = Arc::clone(&self.shared);
        let watch = std::thread::Builder::new().name("interfaces".into());
        threads.push(watch.spawn(move || shared.follow_interfaces())?);
        Ok((Running { shared: self.shared, threads }, self.exit))
    }

    /// How the interfaces are listened to.
    pub fn status(&self) -> Status {
        self.shared.status()
    }
}

/// A sensor that runs, until it is stopped.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// For who wants to know how it stands.
    pub fn observer(&self) -> Observer {
        Observer { shared: Arc::downgrade(&self.shared) }
    }

    /// Stops listening, hands the records of all flows on, and says how it stood. The [`Exit`] ends after the last record.
    pub fn stop(self) -> Status {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.shared.status()
    }
}

/// Looks at a sensor that runs.
#[derive(Clone)]
pub struct Observer {
    shared: Weak<Shared>,
}

impl Observer {
    /// How it stands; `None` once it has stopped.
    pub fn status(&self) -> Option<Status> {
        self.shared.upgrade().map(|shared| shared.status())
    }
}

impl Shared {
    fn status(&self) -> Status {
        Status {
            interfaces: self.interfaces.iter().map(Interface::status).collect(),
            fleet: self.fleet.status(),
            records_lost: self.queue.lost(),
            records_waiting: self.queue.waiting(),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Opens an interface and deals its taps out.
    fn listen(&self, number: usize) -> Result<(), LiveError> {
        let interface = &self.interfaces[number];
        // Before it is opened: should it be made anew in between, that is seen the next time.
        let index = live::index_of(&interface.name);
        let workers = self.mail.len();
        let taps = live::open(&interface.name, &self.options.live, self.fleet.spread(), workers)?;
        let means = taps.first().map_or(self.options.live.means, |tap| tap.means());
        let time = interface.opened(index, means, taps.len());
        for (tap_number, tap) in taps.into_iter().enumerate() {
            let mut mail = self.mail[tap_number % workers].lock().unwrap_or_else(PoisonError::into_inner);
            mail.push(Placed { place: Place { interface: number, time, number: tap_number }, tap });
        }
        Ok(())
    }

    /// Looks for interfaces that vanished, or were made anew under their old name.
    fn follow_interfaces(&self) {
        while !self.is_stopped() {
            std::thread::sleep(PATIENCE);
            for (number, interface) in self.interfaces.iter().enumerate() {
                let (then, now) = (interface.index(), live::index_of(&interface.name));
                if then == now {
                    continue;
                }
                if now.is_none() {
                    interface.is_gone("it is not there".into());
                } else if let Err(error) = self.listen(number) {
                    interface.is_gone(error.to_string());
                }
            }
        }
    }

    fn counted(&self, place: Place, tap: &mut dyn Tap) {
        self.interfaces[place.interface].counted(place.time, place.number, tap.counters());
    }

    /// One engine and its taps.
    fn work(&self, mut worker: Worker) {
        let mail = &self.mail[worker.number()];
        let (mut places, mut taps): (Vec<Place>, Vec<Box<dyn Tap>>) = (Vec::new(), Vec::new());
        let mut next = Instant::now() + SECOND;
        while !self.is_stopped() {
            for placed in mail.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                places.push(placed.place);
                taps.push(placed.tap);
            }
            let (mut busy, mut gone) = (false, None);
            for (at, tap) in taps.iter_mut().enumerate() {
                for _ in 0..TURN_BATCHES {
                    match tap.take() {
                        Ok(Some(batch)) => {
                            busy = true;
                            worker.packets(places[at].interface as u8, batch);
                        }
                        Ok(None) => break,
                        Err(_) => {
                            gone = Some(at);
                            break;
                        }
                    }
                }
            }
            if Instant::now() >= next {
                next = Instant::now() + SECOND;
                taps.iter_mut().zip(&places).for_each(|(tap, place)| self.counted(*place, &mut **tap));
                worker.advance(now_ns(), self.options.reports);
            }
            if let Some(at) = gone {
                self.counted(places.swap_remove(at), &mut *taps.swap_remove(at));
            } else if !busy {
                // What others pass on is not waited for longer than that either.
                if taps.is_empty() || live::wait(&taps, PATIENCE).is_err() {
                    std::thread::sleep(PATIENCE);
                }
                worker.take_in();
            }
        }
        let enough = Instant::now() + SECOND / 4;
        for (tap, place) in taps.iter_mut().zip(&places) {
            // What the kernel has handed over until now; on a busy link there would be more for ever.
            while Instant::now() < enough
                && let Ok(Some(batch)) = tap.take()
            {
                worker.packets(place.interface as u8, batch);
            }
            self.counted(*place, &mut **tap);
        }
        worker.advance(now_ns(), false);
        worker.finish();
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
