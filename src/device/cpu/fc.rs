//! Stand-in.
use super::conv::Workspace;
use super::simd::Isa;
pub struct Fc {
    n: usize,
    i: usize,
    o: usize,
}
impl Fc {
    pub fn new(n: usize, i: usize, o: usize, _threads: usize, _isa: Isa) -> Fc {
        Fc { n, i, o }
    }
    pub fn algorithm(&self) -> &'static str {
        "gemm"
    }
    pub fn workspace(&self) -> Workspace {
        Workspace { forward: 0, backward_data: 0, backward_weights: 0 }
    }
    pub fn workspace_floats(&self) -> usize {
        0
    }
    pub fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], _: &mut [f32]) {
        mm(self.n, self.i, self.o, x, (self.i, 1), w, (1, self.i), y, false);
        if let Some(b) = b {
            for row in y.chunks_mut(self.o) {
                for (y, b) in row.iter_mut().zip(b) {
                    *y += b
                }
            }
        }
    }
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32], acc: bool, _: &mut [f32]) {
        mm(self.n, self.o, self.i, dy, (self.o, 1), w, (self.i, 1), dx, acc);
    }
    pub fn backward_weights(&self, x: &[f32], dy: &[f32], dw: &mut [f32], db: Option<&mut [f32]>, _: &mut [f32]) {
        mm(self.o, self.n, self.i, dy, (1, self.o), x, (self.i, 1), dw, false);
        if let Some(db) = db {
            db.fill(0.0);
            for row in dy.chunks(self.o) {
                for (d, y) in db.iter_mut().zip(row) {
                    *d += y
                }
            }
        }
    }
}
#[allow(clippy::too_many_arguments)]
fn mm(
    m: usize,
    k: usize,
    n: usize,
    a: &[f32],
    sa: (usize, usize),
    b: &[f32],
    sb: (usize, usize),
    c: &mut [f32],
    acc: bool,
) {
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            acc,
            a.as_ptr(),
            sa.1 as isize,
            sa.0 as isize,
            b.as_ptr(),
            sb.1 as isize,
            sb.0 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        )
    }
}
