//! Ranks that are threads of this process.

use std::collections::TryReserveError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Communicator, RankError, Ranks};

/// The ranks of one process, to be given to a thread each. When one is dropped early, the others' calls fail: none waits forever.
pub fn ranks(size: usize) -> Vec<Ranks> {
    let slots = (0..size).map(|_| Slot::default()).collect();
    let meeting = Arc::new(Meeting { state: Mutex::default(), moved: Condvar::new(), slots });
    (0..size).map(|rank| Ranks::new(ThreadRank { rank, meeting: meeting.clone() })).collect()
}

struct ThreadRank {
    rank: usize,
    meeting: Arc<Meeting>,
}

/// The place where the ranks meet, and what each brings.
struct Meeting {
    state: Mutex<State>,
    moved: Condvar,
    slots: Vec<Slot>,
}

#[derive(Default)]
struct State {
    here: usize,
    /// How often all have met.
    met: u64,
    gone: Option<usize>,
}

/// The values that a rank shows the others. They keep their memory.
#[derive(Default)]
struct Slot {
    floats: Mutex<Vec<f32>>,
    durations: Mutex<Vec<f64>>,
    bytes: Mutex<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ThreadRank {
    /// Refuses what the ranks do not have equally much of.
    fn same_length(&self, ours: usize, theirs: usize, rank: usize) -> Result<(), RankError> {
        if ours == theirs {
            return Ok(());
        }
        Err(RankError(format!("rank {rank} has {theirs} values where rank {} has {ours}", self.rank)))
    }
}

impl Communicator for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.slots.len()
    }

    fn reserve(&self, values: usize) -> Result<(), TryReserveError> {
        let mut own = lock(&self.meeting.slots[self.rank].floats);
        own.clear();
        own.try_reserve_exact(values)
    }

    /// Every rank adds all ranks' values in the order of the ranks.
    fn all_reduce_mean(&self, values: &mut [f32]) -> Result<(), RankError> {
        let slots = &self.meeting.slots;
        {
            let mut own = lock(&slots[self.rank].floats);
            own.clear();
            own.extend_from_slice(values);
        }
        self.barrier()?;
        for (rank, slot) in slots.iter().enumerate() {
            let other = lock(&slot.floats);
            self.same_length(values.len(), other.len(), rank)?;
            match rank {
                0 => values.copy_from_slice(&other),
                _ => values.iter_mut().zip(&*other).for_each(|(sum, value)| *sum += value),
            }
        }
        let ranks = slots.len() as f32;
        values.iter_mut().for_each(|sum| *sum /= ranks);
        // No rank may bring new values before all have read these.
        self.barrier()
    }

    fn barrier(&self) -> Result<(), RankError> {
        let mut state = lock(&self.meeting.state);
        let met = state.met;
        state.here += 1;
        if state.here == self.size() {
            (state.here, state.met) = (0, met + 1);
            self.meeting.moved.notify_all();
            return Ok(());
        }
        while state.met == met {
            if let Some(rank) = state.gone {
                return Err(RankError(format!("rank {rank} is gone")));
            }
            state = self.meeting.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<(), RankError> {
        if self.rank == root {
            lock(&self.meeting.slots[root].bytes).clone_from(bytes);
        }
        self.barrier()?;
        bytes.clone_from(&lock(&self.meeting.slots[root].bytes));
        self.barrier()
    }

    fn gather(&self, durations: &[f64]) -> Result<Vec<Vec<f64>>, RankError> {
        *lock(&self.meeting.slots[self.rank].durations) = durations.to_vec();
        self.barrier()?;
        let all: Vec<Vec<f64>> = self.meeting.slots.iter().map(|slot| lock(&slot.durations).clone()).collect();
        self.barrier()?;
        for (rank, theirs) in all.iter().enumerate() {
            self.same_length(durations.len(), theirs.len(), rank)?;
        }
        Ok(all)
    }

    /// Threads end when their calls fail.
    fn abort(&self, _: i32) {}
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        lock(&self.meeting.state).gone.get_or_insert(self.rank);
        self.meeting.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does `work` on each of three ranks.
    fn on_three<T: Send>(work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = ranks(3).into_iter().map(|ranks| scope.spawn(|| work(ranks))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// (1 + 3 + 8) / 3 = 4 and (0 + 1 − 7) / 3 = −2, twice.
    #[test]
    fn the_mean_is_the_same_on_all_ranks() {
        let own = [[1.0, 0.0], [3.0, 1.0], [8.0, -7.0]];
        let means = on_three(|ranks| {
            let mut twice = [own[ranks.rank()]; 2];
            for values in &mut twice {
                ranks.all_reduce_mean(values).unwrap();
            }
            twice
        });
        assert_eq!(means, [[[4.0, -2.0]; 2]; 3]);
    }

    #[test]
    fn bytes_come_from_the_root_and_durations_from_all() {
        let told = on_three(|ranks| {
            let mut bytes = vec![ranks.rank() as u8; ranks.rank()];
            ranks.broadcast(2, &mut bytes).unwrap();
            (bytes, ranks.gather(&[ranks.rank() as f64, 0.5]).unwrap())
        });
        let expected = (vec![2, 2], vec![vec![0.0, 0.5], vec![1.0, 0.5], vec![2.0, 0.5]]);
        assert_eq!(told, [expected.clone(), expected.clone(), expected]);
    }

    #[test]
    fn nobody_waits_for_a_rank_that_is_gone() {
        let ends = on_three(|ranks| match ranks.rank() {
            1 => Ok(()),
            _ => ranks.barrier(),
        });
        assert_eq!(ends, [Err(RankError("rank 1 is gone".into())), Ok(()), Err(RankError("rank 1 is gone".into()))]);
    }

    #[test]
    fn unequal_values_are_refused() {
        let ends = on_three(|ranks| ranks.all_reduce_mean(&mut vec![1.0; 1 + ranks.rank() / 2]));
        assert_eq!(ends[2], Err(RankError("rank 0 has 1 values where rank 2 has 2".into())));
        assert_eq!(ends[0], Err(RankError("rank 2 has 2 values where rank 0 has 1".into())));
    }
}
