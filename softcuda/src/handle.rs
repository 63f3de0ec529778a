//! Handles that libraries give out: numbers, not pointers, so that one used after its destruction is recognised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The live objects of one kind.
pub struct Handles<T> {
    kind: &'static str,
    objects: Mutex<Objects<T>>,
}

struct Objects<T> {
    given: u64,
    live: BTreeMap<u64, Arc<Mutex<T>>>,
}

impl<T> Handles<T> {
    pub const fn new(kind: &'static str) -> Self {
        Handles { kind, objects: Mutex::new(Objects { given: 0, live: BTreeMap::new() }) }
    }
    fn lock(&self) -> MutexGuard<'_, Objects<T>> {
        self.objects.lock().unwrap_or_else(|e| e.into_inner())
    }
    /// Gives out a handle; as a C pointer it is never null and never valid to follow.
    pub fn add<P>(&self, object: T) -> *mut P {
        let mut objects = self.lock();
        objects.given += 1;
        let id = 0x1000 * self.kind.len() as u64 * 0x1_0000 + 0x10 * objects.given;
        objects.live.insert(id, Arc::new(Mutex::new(object)));
        id as *mut P
    }
    pub fn get<P>(&self, handle: *mut P) -> Option<Arc<Mutex<T>>> {
        self.lock().live.get(&(handle as u64)).cloned()
    }
    /// A copy of the object.
    pub fn copy<P>(&self, handle: *mut P) -> Option<T>
    where
        T: Clone,
    {
        self.get(handle).map(|object| object.lock().unwrap_or_else(|e| e.into_inner()).clone())
    }
    /// Changes the object; false where there is none.
    pub fn change<P>(&self, handle: *mut P, f: impl FnOnce(&mut T)) -> bool {
        let object = self.get(handle);
        if let Some(object) = &object {
            f(&mut object.lock().unwrap_or_else(|e| e.into_inner()));
        }
        object.is_some()
    }
    pub fn remove<P>(&self, handle: *mut P) -> bool {
        self.lock().live.remove(&(handle as u64)).is_some()
    }
    /// A line if any are left.
    pub fn leaks(&self) -> Vec<String> {
        let left = self.lock().live.len();
        if left == 0 { Vec::new() } else { vec![format!("{left} {}", self.kind)] }
    }
}
