//! cuDNN's backend descriptors: the graph API, for graphs of one convolution.
//!
//! A descriptor keeps what it is given until it is finalized; then it is checked and resolved. Enumerations are integers here: the bindings'
//! are closed, and the real library's are not.

mod engine;
mod resolve;

use super::handle::stream_of;
use super::{Result, check_buffers, enqueue, refuse};
use crate::export::{export_unchecked, put};
use crate::handle::Handles;
use crate::report;
use cudarc::cudnn::sys::cudnnHandle_t;
use cudarc::cudnn::sys::cudnnStatus_t::{self, *};
use engine::Config;
use resolve::{Resolved, resolve};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};

/// Values of an attribute.
#[derive(Clone, Debug)]
enum Values {
    /// Whole numbers, and enumerations.
    Numbers(Vec<i64>),
    Float(f32),
    /// Device addresses, library handles and descriptors.
    Words(Vec<u64>),
    Text,
}

/// A descriptor.
#[derive(Clone)]
struct Backend {
    kind: c_int,
    attributes: BTreeMap<c_int, Values>,
    resolved: Option<Resolved>,
}

static BACKENDS: Handles<Backend> = Handles::new("cuDNN backend descriptors");

/// Types of attributes (cudnnBackendAttributeType_t).
mod ty {
    pub const HANDLE: i32 = 0;
    pub const INT64: i32 = 3;
    pub const FLOAT: i32 = 4;
    pub const VOID_PTR: i32 = 6;
    pub const BACKEND_DESCRIPTOR: i32 = 15;
    pub const CHAR: i32 = 24;
}

fn backend(descriptor: *mut c_void) -> Result<Backend> {
    BACKENDS.copy(descriptor).map_or_else(|| refuse(CUDNN_STATUS_BAD_PARAM, "no such backend descriptor"), Ok)
}

/// What a finalized descriptor stands for.
fn resolved(descriptor: *mut c_void) -> Result<Resolved> {
    let resolved = backend(descriptor)?.resolved;
    resolved.map_or_else(|| refuse(CUDNN_STATUS_BAD_PARAM, "a backend descriptor that was not finalized"), Ok)
}

/// Reads values of a type from the caller.
///
/// # Safety
/// `from` holds `count` values of that type.
unsafe fn values(kind: c_int, count: usize, from: *const c_void) -> Values {
    // SAFETY: the caller's promise, for each type.
    unsafe {
        let list = |index: usize| from.cast::<u64>().add(index).read_unaligned();
        match kind {
            ty::INT64 => Values::Numbers((0..count).map(|index| list(index) as i64).collect()),
            ty::FLOAT => Values::Float(from.cast::<f32>().read_unaligned()),
            ty::HANDLE | ty::VOID_PTR | ty::BACKEND_DESCRIPTOR => Values::Words((0..count).map(list).collect()),
            ty::CHAR => Values::Text,
            _ => Values::Numbers(
                (0..count).map(|index| i64::from(from.cast::<i32>().add(index).read_unaligned())).collect(),
            ),
        }
    }
}

/// An answer to a question for an attribute.
enum Answer {
    Numbers(Vec<i64>),
    Choices(Vec<c_int>),
    /// What descriptors of the caller's come to stand for.
    Objects(Vec<Resolved>),
    Text(String),
}

/// Numbers of the attributes that are asked for (cudnnBackendAttributeName_t).
fn answer(object: &Resolved, attribute: c_int) -> Result<Answer> {
    Ok(match (object, attribute) {
        (Resolved::Heuristics(configs), 202) => {
            Answer::Objects(configs.iter().cloned().map(Resolved::Config).collect())
        }
        (Resolved::Config(config), 300) => Answer::Objects(vec![Resolved::Engine(config.clone())]),
        (Resolved::Config(config), 302) => Answer::Objects(config.knobs().map(Resolved::Knob).to_vec()),
        (Resolved::Config(config) | Resolved::Plan(config), 303 | 402) => {
            Answer::Numbers(vec![config.workspace() as i64])
        }
        (Resolved::Plan(config), 405) => Answer::Text(config.json()),
        (Resolved::Knob((kind, _)), 600) => Answer::Choices(vec![*kind]),
        (Resolved::Knob((_, value)), 601) => Answer::Numbers(vec![*value]),
        (Resolved::Engine(config), 1301) => Answer::Numbers(vec![config.index()]),
        (Resolved::Engine(config), 1303) => Answer::Choices(config.numerical_notes()),
        (Resolved::Engine(_), 1305) => Answer::Choices(Vec::new()),
        _ => return refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("attribute {attribute} is not modelled here")),
    })
}

/// Gives up to `room` values to the caller, and their number.
///
/// # Safety
/// `to` is null or holds `room` values of the answer's type; descriptors among them are the caller's.
unsafe fn give(answer: Answer, room: usize, count: *mut i64, to: *mut c_void) -> Result<()> {
    let write = |index: usize, number: i64| {
        // SAFETY: index < room.
        unsafe { to.cast::<i64>().add(index).write_unaligned(number) };
    };
    let length = match answer {
        Answer::Numbers(numbers) => {
            numbers.iter().take(room).enumerate().for_each(|(index, &number)| write(index, number));
            numbers.len()
        }
        Answer::Choices(choices) => {
            for (index, &choice) in choices.iter().take(room).enumerate() {
                // SAFETY: index < room.
                unsafe { to.cast::<c_int>().add(index).write_unaligned(choice) };
            }
            choices.len()
        }
        Answer::Text(text) => {
            let length = text.len().min(room);
            // SAFETY: length ≤ room.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), length) };
            length
        }
        Answer::Objects(objects) => {
            let length = objects.len();
            for (index, object) in objects.into_iter().take(room).enumerate() {
                // SAFETY: index < room.
                let descriptor = unsafe { to.cast::<*mut c_void>().add(index).read_unaligned() };
                if !BACKENDS.change(descriptor, |backend| backend.resolved = Some(object)) {
                    return refuse(CUDNN_STATUS_BAD_PARAM, "no such backend descriptor to fill");
                }
            }
            // As the real library: the number that there are, where none are asked for.
            if room == 0 { length } else { length.min(room) }
        }
    };
    // SAFETY: the caller's out-pointer.
    unsafe { put(count, length as i64) }
}

/// The addresses of a plan's tensors in a pack.
fn place(config: &Config, pack: &resolve::Pack) -> Result<[u64; 3]> {
    let find = |id: i64| {
        let index = pack.ids.iter().position(|&other| other == id);
        index.and_then(|index| pack.addresses.get(index)).copied()
    };
    match config.operation().ids.map(find) {
        [Some(x), Some(w), Some(y)] => Ok([x, w, y]),
        _ => refuse(CUDNN_STATUS_BAD_PARAM, "a variant pack that lacks a tensor of the plan"),
    }
}

export_unchecked! { CALLS: "cudnn", cudnnStatus_t;
fn cudnnBackendCreateDescriptor(kind: c_int, to: *mut *mut c_void) {
    report::at_exit(|| BACKENDS.leaks());
    if !resolve::is_known(kind) {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("backend descriptors of kind {kind} are not modelled"));
    }
    put(to, BACKENDS.add(Backend { kind, attributes: BTreeMap::new(), resolved: None }))
}
fn cudnnBackendDestroyDescriptor(descriptor: *mut c_void) {
    match BACKENDS.remove(descriptor) {
        true => Ok(()),
        false => refuse(CUDNN_STATUS_BAD_PARAM, "no such backend descriptor"),
    }
}
fn cudnnBackendSetAttribute(descriptor: *mut c_void, attribute: c_int, kind: c_int, count: i64, from: *const c_void) {
    if backend(descriptor)?.resolved.is_some() {
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "an attribute of a descriptor that is finalized");
    }
    if count < 1 || from.is_null() {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let values = values(kind, count as usize, from);
    BACKENDS.change(descriptor, |backend| {
        backend.attributes.insert(attribute, values);
    });
    Ok(())
}
fn cudnnBackendFinalize(descriptor: *mut c_void) {
    let object = resolve(&backend(descriptor)?)?;
    BACKENDS.change(descriptor, |backend| backend.resolved = Some(object));
    Ok(())
}
fn cudnnBackendGetAttribute(
    descriptor: *mut c_void, attribute: c_int, _kind: c_int, room: i64, count: *mut i64, to: *mut c_void,
) {
    give(answer(&resolved(descriptor)?, attribute)?, room.max(0) as usize, count, to)
}
fn cudnnBackendExecute(handle: cudnnHandle_t, plan: *mut c_void, pack: *mut c_void) {
    let stream = stream_of(handle)?;
    let (Resolved::Plan(config), Resolved::Pack(pack)) = (resolved(plan)?, resolved(pack)?) else {
        return refuse(CUDNN_STATUS_BAD_PARAM, "not a plan and a variant pack");
    };
    let at = place(&config, &pack)?;
    let needed = config.workspace();
    if needed > 0 {
        check_buffers(&[(pack.workspace, needed)])?;
    }
    let problem = &config.operation().problem;
    check_buffers(&[(at[0], problem.x.bytes()), (at[1], problem.w.bytes()), (at[2], problem.y.bytes())])?;
    enqueue(stream, move || config.compute(at))
}
}
