//! Ranks that train together: each has a copy of the network and a batch of its own, and their gradients are averaged.
//!
//! A rank is a thread of this process ([`threads`]), or under `mpirun` a process ([`launch::join`]).

pub mod agree;
pub mod launch;
#[cfg(feature = "mpi")]
mod mpi;
pub mod threads;

use std::collections::TryReserveError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::device::DeviceError;
use crate::plan::Share;

/// Why ranks cannot go on together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RankError(pub String);

impl From<RankError> for DeviceError {
    fn from(error: RankError) -> DeviceError {
        DeviceError::Unusable(error.0)
    }
}

/// One rank's way to the others. All ranks make the same calls in the same order, one at a time; each call waits for the others'.
pub trait Communicator: Send + Sync {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Makes room for so many values to be reduced, so that no step allocates. Fails where there is no memory for them.
    fn reserve(&self, values: usize) -> Result<(), TryReserveError>;

    /// Replaces each value by its mean over all ranks, the same bits on each. All give equally many.
    fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), RankError>;

    /// Waits until all ranks are here.
    fn barrier(&self) -> Result<(), RankError>;

    /// Gives every rank the bytes of rank `root`.
    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<(), RankError>;

    /// The durations of all ranks, by rank, on each of them. All give equally many.
    fn gather(&self, durations: &[f64]) -> Result<Vec<Vec<f64>>, RankError>;

    /// Ends all ranks at once where they are processes, with this exit code: a rank that waits for one that is gone would wait forever.
    fn abort(&self, code: i32);
}

/// A rank's way to the others, to be held in several places.
#[derive(Clone)]
pub struct Ranks(Arc<dyn Communicator>);

impl Ranks {
    /// Of this communicator.
    pub fn new(communicator: impl Communicator + 'static) -> Ranks {
        Ranks(Arc::new(communicator))
    }

    /// This rank among all.
    pub fn share(&self) -> Share {
        Share { rank: self.rank(), ranks: self.size() }
    }

    /// Tells if this is the rank that writes and prints.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }
}

impl Deref for Ranks {
    type Target = dyn Communicator;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}
