//! Streams as queues. Work is done only when somebody waits for it (a synchronisation, an event, a blocking copy), so
//! that a missing wait shows as old or uninitialised data instead of passing by luck. An error while work runs
//! sticks: every later call returns it, as after a fault on a GPU.

use crate::export::{Status, current};
use crate::finding::{Finding, FindingKind};
use crate::settings::{SETTINGS, refuse};
use crate::{clock, fault, report};
use cudarc::driver::sys::CUresult;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

/// The legacy default stream.
pub const DEFAULT: u64 = 0;
/// The call whose work is done even after a failure.
const FREE: &str = "cuMemFreeAsync";

/// Why queued work failed.
#[derive(Debug)]
pub struct Failure {
    pub status: CUresult,
    pub finding: Finding,
}

impl Failure {
    /// As a GPU fails after a bad access.
    pub fn address(finding: Finding) -> Self {
        Failure { status: CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, finding }
    }
    /// Says whose failure it is, where it does not itself.
    fn of(self, name: &str) -> Self {
        let named = self.finding.text.starts_with(name);
        if named { self } else { Failure { finding: self.finding.of(name), ..self } }
    }
}

pub type Work = Box<dyn FnOnce() -> Result<(), Failure> + Send>;

enum Task {
    Work {
        name: String,
        work: Work,
    },
    Record {
        event: u64,
        ticket: u64,
    },
    Await {
        event: u64,
        ticket: u64,
    },
    /// Holds the stream until `ready`.
    Hold {
        ready: Box<dyn Fn() -> Result<bool, Failure> + Send>,
    },
}

struct Stream {
    tasks: VecDeque<Task>,
    /// Synchronises with the default stream.
    blocking: bool,
}

#[derive(Clone, Copy)]
struct Event {
    timing: bool,
    stream: u64,
    /// Tickets count records: the last one queued and the last one done.
    queued: u64,
    done: u64,
    at_ns: u64,
}

#[derive(Default)]
struct Device {
    streams: BTreeMap<u64, Stream>,
    events: BTreeMap<u64, Event>,
    created: u64,
    sticky: Option<CUresult>,
}

static DEVICE: Mutex<Option<Device>> = Mutex::new(None);
/// Held by whoever runs tasks: the device does one thing at a time.
static RUNNING: Mutex<()> = Mutex::new(());

fn with<T>(f: impl FnOnce(&mut Device) -> T) -> T {
    let mut guard = DEVICE.lock().unwrap_or_else(|e| e.into_inner());
    let device = guard.get_or_insert_with(|| {
        let default = Stream { tasks: VecDeque::new(), blocking: true };
        Device { streams: BTreeMap::from([(DEFAULT, default)]), ..Device::default() }
    });
    f(device)
}

fn running() -> MutexGuard<'static, ()> {
    RUNNING.lock().unwrap_or_else(|e| e.into_inner())
}

/// Handles look like pointers, but nothing is there; 1 and 2 name the default stream too.
fn normal(stream: u64) -> u64 {
    if stream <= 2 { DEFAULT } else { stream }
}

/// The error that sticks, if any.
pub fn check() -> Result<(), CUresult> {
    with(|device| device.sticky).map_or(Ok(()), Err)
}

pub fn create(blocking: bool) -> u64 {
    with(|device| {
        device.created += 1;
        let id = 0x5_0000_0000 + 0x100 * device.created;
        device.streams.insert(id, Stream { tasks: VecDeque::new(), blocking });
        id
    })
}

/// Lets queued work finish, then removes the stream.
pub fn destroy(stream: u64) -> Result<(), CUresult> {
    known(stream)?;
    let result = synchronize(stream);
    with(|device| device.streams.remove(&stream));
    result
}

fn known(stream: u64) -> Result<(), CUresult> {
    if with(|device| device.streams.contains_key(&normal(stream))) {
        return Ok(());
    }
    report::in_call(Finding::new(FindingKind::InvalidHandle, format!("no such stream: {stream:#x}")));
    Err(CUresult::CUDA_ERROR_INVALID_HANDLE)
}

pub fn is_blocking(stream: u64) -> Result<bool, CUresult> {
    known(stream)?;
    Ok(with(|device| device.streams[&normal(stream)].blocking))
}

fn push(stream: u64, task: Task) -> Result<(), CUresult> {
    check()?;
    known(stream)?;
    with(|device| {
        if let Some(stream) = device.streams.get_mut(&normal(stream)) {
            stream.tasks.push_back(task);
        }
    });
    Ok(())
}

/// Queues work. A fault asked for this call with `~` replaces it.
pub fn enqueue(stream: u64, name: &str, work: Work) -> Result<(), CUresult> {
    let call = current();
    let work = match fault::of_work(call) {
        Some(status) => {
            let status = CUresult::parse(status).unwrap_or_else(|error| refuse(&error));
            let finding = Finding::new(FindingKind::RequestedFault, "the fault that was asked for");
            Box::new(move || Err(Failure { status, finding }))
        }
        None => work,
    };
    push(stream, Task::Work { name: name.into(), work })?;
    if SETTINGS.serial { synchronize(stream) } else { Ok(()) }
}

/// Queues a wait that ends when `ready` says so.
pub fn hold(stream: u64, ready: Box<dyn Fn() -> Result<bool, Failure> + Send>) -> Result<(), CUresult> {
    push(stream, Task::Hold { ready })
}

/// Waits for everything queued on a stream.
pub fn synchronize(stream: u64) -> Result<(), CUresult> {
    known(stream)?;
    let _running = running();
    drain(normal(stream));
    check()
}

/// Waits for everything that the default stream waits for: itself and all blocking streams.
pub fn synchronize_default() -> Result<(), CUresult> {
    let _running = running();
    for id in with(|device| device.streams.iter().filter(|(_, s)| s.blocking).map(|(&id, _)| id).collect::<Vec<_>>()) {
        drain(id);
    }
    check()
}

pub fn synchronize_all() -> Result<(), CUresult> {
    let _running = running();
    for id in with(|device| device.streams.keys().copied().collect::<Vec<_>>()) {
        drain(id);
    }
    check()
}

/// Whether a stream has nothing left to do. Does one more task if it can, so that polling gets somewhere.
pub fn query(stream: u64) -> Result<bool, CUresult> {
    known(stream)?;
    let _running = running();
    advance(normal(stream));
    check()?;
    Ok(with(|device| device.streams.get(&normal(stream)).is_none_or(|s| s.tasks.is_empty())))
}

fn drain(stream: u64) {
    while step(stream, true) {}
}

/// One task, unless it would wait for the host.
fn advance(stream: u64) {
    let ready = with(|device| match device.streams.get(&stream).and_then(|s| s.tasks.front()) {
        Some(Task::Hold { ready }) => ready().unwrap_or(true),
        _ => true,
    });
    if ready {
        step(stream, false);
    }
}

/// Does the next task of a stream; false when there is none.
fn step(stream: u64, wait: bool) -> bool {
    let Some(task) = with(|device| device.streams.get_mut(&stream).and_then(|s| s.tasks.pop_front())) else {
        return false;
    };
    clock::progress();
    let result = match task {
        Task::Work { name, work } => {
            let result = work();
            clock::worked(&name);
            result.map_err(|failure| failure.of(&name))
        }
        Task::Record { event, ticket } => {
            clock::worked("cuEventRecord");
            complete(event, ticket);
            Ok(())
        }
        Task::Await { event, ticket } => {
            run_until_done(event, ticket);
            Ok(())
        }
        Task::Hold { ready } => hold_until(ready, wait),
    };
    if let Err(failure) = result {
        fail(failure);
    }
    true
}

fn hold_until(ready: Box<dyn Fn() -> Result<bool, Failure> + Send>, wait: bool) -> Result<(), Failure> {
    while wait && !ready()? {
        clock::spin().map_err(|finding| Failure { status: CUresult::CUDA_ERROR_LAUNCH_TIMEOUT, finding })?;
    }
    Ok(())
}

/// The first failure sticks. What is still queued never runs, except that memory given back is given back.
fn fail(failure: Failure) {
    report::report(&failure.finding);
    let abandoned: Vec<Task> = with(|device| {
        device.sticky.get_or_insert(failure.status);
        device.streams.values_mut().flat_map(|s| s.tasks.drain(..)).collect()
    });
    for task in abandoned {
        if let Task::Work { name, work } = task
            && name == FREE
            && let Err(failure) = work()
        {
            report::report(&failure.finding);
        }
    }
}

fn complete(event: u64, ticket: u64) {
    let now = clock::now_ns();
    with(|device| {
        if let Some(event) = device.events.get_mut(&event) {
            (event.done, event.at_ns) = (ticket, now);
        }
    });
}

fn run_until_done(event: u64, ticket: u64) {
    let pending = |device: &mut Device| device.events.get(&event).filter(|e| e.done < ticket).map(|e| e.stream);
    while let Some(stream) = with(pending) {
        if !step(stream, true) {
            return;
        }
    }
}

pub fn create_event(timing: bool) -> u64 {
    with(|device| {
        device.created += 1;
        let id = 0x6_0000_0000 + 0x100 * device.created;
        device.events.insert(id, Event { timing, stream: DEFAULT, queued: 0, done: 0, at_ns: 0 });
        id
    })
}

fn event(id: u64) -> Result<Event, CUresult> {
    with(|device| device.events.get(&id).copied()).ok_or_else(|| {
        report::in_call(Finding::new(FindingKind::InvalidHandle, format!("no such event: {id:#x}")));
        CUresult::CUDA_ERROR_INVALID_HANDLE
    })
}

pub fn destroy_event(id: u64) -> Result<(), CUresult> {
    event(id)?;
    with(|device| device.events.remove(&id));
    check()
}

pub fn record(id: u64, stream: u64) -> Result<(), CUresult> {
    let ticket = event(id)?.queued + 1;
    push(stream, Task::Record { event: id, ticket })?;
    with(|device| {
        if let Some(event) = device.events.get_mut(&id) {
            (event.queued, event.stream) = (ticket, normal(stream));
        }
    });
    Ok(())
}

/// What is queued after this waits for the event as recorded so far.
pub fn wait_event(stream: u64, id: u64) -> Result<(), CUresult> {
    let ticket = event(id)?.queued;
    push(stream, Task::Await { event: id, ticket })
}

pub fn synchronize_event(id: u64) -> Result<(), CUresult> {
    let ticket = event(id)?.queued;
    let _running = running();
    run_until_done(id, ticket);
    check()
}

pub fn query_event(id: u64) -> Result<bool, CUresult> {
    let before = event(id)?;
    if before.done < before.queued {
        let _running = running();
        advance(before.stream);
    }
    check()?;
    Ok(event(id)?.done >= before.queued)
}

/// Milliseconds between two events that have both been reached.
pub fn elapsed_ms(start: u64, end: u64) -> Result<f32, CUresult> {
    check()?;
    let (start, end) = (event(start)?, event(end)?);
    for event in [start, end] {
        if !event.timing || event.queued == 0 {
            let what = "an event without timing, or never recorded";
            report::in_call(Finding::new(FindingKind::InvalidHandle, what));
            return Err(CUresult::CUDA_ERROR_INVALID_HANDLE);
        }
        if event.done < event.queued {
            return Err(CUresult::CUDA_ERROR_NOT_READY);
        }
    }
    Ok(((end.at_ns as i64 - start.at_ns as i64) as f64 / 1e6) as f32)
}

/// What was never destroyed and what was never waited for, a line each.
pub fn leaks() -> Vec<String> {
    with(|device| {
        let streams = device.streams.keys().filter(|&&id| id != DEFAULT).map(|id| format!("stream {id:#x}"));
        let events = device.events.keys().map(|id| format!("event {id:#x}"));
        let waiting = device.streams.values().map(|s| s.tasks.len()).sum::<usize>();
        let tasks = (waiting > 0).then(|| format!("{waiting} queued tasks that nobody waited for"));
        streams.chain(events).chain(tasks).collect()
    })
}
