//! Matrices turned around, by squares in registers.

use super::{MicroKernels, Vector};

/// Squares to turn around, which the vectors' lanes divide evenly.
pub(super) struct Squares {
    from: *const f32,
    from_pitch: usize,
    to: *mut f32,
    to_pitch: usize,
    rows: usize,
    columns: usize,
}

impl MicroKernels {
    /// Turns a matrix of `rows` × `columns` around: `to` has `columns` rows, with zeros after the last number up to `to_pitch`.
    pub fn transpose(
        &self,
        from: &[f32],
        from_pitch: usize,
        [rows, columns]: [usize; 2],
        to: &mut [f32],
        to_pitch: usize,
    ) {
        assert!(rows <= to_pitch && columns * to_pitch <= to.len());
        assert!(rows * columns == 0 || (rows - 1) * from_pitch + columns <= from.len());
        let [whole_rows, whole_columns] = [rows, columns].map(|count| count / self.lanes * self.lanes);
        let squares = Squares {
            from: from.as_ptr(),
            from_pitch,
            to: to.as_mut_ptr(),
            to_pitch,
            rows: whole_rows,
            columns: whole_columns,
        };
        // SAFETY: both matrices lie in their slices, as checked above; this table exists only for a supported instruction set.
        unsafe { (self.transpose)(&squares) }
        for (column, to) in to.chunks_exact_mut(to_pitch).take(columns).enumerate() {
            let first = if column < whole_columns { whole_rows } else { 0 };
            for row in first..rows {
                to[row] = from[row * from_pitch + column];
            }
            to[rows..].fill(0.0);
        }
    }
}

#[inline(always)]
pub(super) unsafe fn transpose_squares<V: Vector>(squares: &Squares) {
    let Squares { from, from_pitch, to, to_pitch, rows, columns } = *squares;
    for column in (0..columns).step_by(V::LANES) {
        for row in (0..rows).step_by(V::LANES) {
            // SAFETY: the squares lie in both matrices.
            unsafe {
                V::transpose(from.add(row * from_pitch + column), from_pitch, to.add(column * to_pitch + row), to_pitch)
            }
        }
    }
}
