//! Ranks that are processes, by MPI.

use std::collections::TryReserveError;
use std::sync::{Mutex, PoisonError};

use ::mpi::Threading;
use ::mpi::collective::SystemOperation;
use ::mpi::environment::{Universe, initialize_with_threading};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};

use super::{Communicator, RankError, Ranks};

/// This process among those that the launcher started. A failing call ends all processes, as MPI does where nothing else is said.
struct MpiRank {
    rank: usize,
    size: usize,
    /// Sums on their way back.
    sums: Mutex<Vec<f32>>,
    /// MPI ends when this is dropped.
    _universe: Universe,
}

/// Begins MPI. Calls come from the threads that compute, one at a time.
pub fn join() -> Result<Ranks, RankError> {
    let (universe, threading) = initialize_with_threading(Threading::Serialized)
        .ok_or_else(|| RankError("MPI has begun already in this process".into()))?;
    if threading < Threading::Serialized {
        return Err(RankError("this MPI takes calls from the main thread alone: use one built with threads".into()));
    }
    let world = SimpleCommunicator::world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    Ok(Ranks::new(MpiRank { rank, size, sums: Mutex::default(), _universe: universe }))
}

impl Communicator for MpiRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn reserve(&self, values: usize) -> Result<(), TryReserveError> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.clear();
        sums.try_reserve_exact(values)?;
        sums.resize(values, 0.0);
        Ok(())
    }

    fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), RankError> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.len() < values.len() {
            sums.resize(values.len(), 0.0);
        }
        let sums = &mut sums[..values.len()];
        SimpleCommunicator::world().all_reduce_into(&*values, sums, SystemOperation::sum());
        let ranks = self.size as f32;
        values.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = *sum / ranks);
        Ok(())
    }

    fn barrier(&self) -> Result<(), RankError> {
        SimpleCommunicator::world().barrier();
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<(), RankError> {
        let world = SimpleCommunicator::world();
        let root = world.process_at_rank(root as i32);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        root.broadcast_into(&mut bytes[..]);
        Ok(())
    }

    fn gather(&self, durations: &[f64]) -> Result<Vec<Vec<f64>>, RankError> {
        let mut all = vec![0.0; self.size * durations.len()];
        SimpleCommunicator::world().all_gather_into(durations, &mut all[..]);
        Ok(all.chunks_exact(durations.len().max(1)).map(<[f64]>::to_vec).collect())
    }

    fn abort(&self, code: i32) {
        SimpleCommunicator::world().abort(code)
    }
}
