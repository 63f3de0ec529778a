//! Functions over all 32 lanes from an expression over one.

/// A function over lanes: its operands, its result and the expression for one lane.
macro_rules! lanes {
    (|$a:ident: $ta:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let $a = a[i];
                out[i] = $e;
            }
            out
        }
        f
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32], b: &[$tb; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                out[i] = $e;
            }
            out
        }
        f
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32], b: &[$tb; 32], c: &[$tc; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let ($a, $b, $c) = (a[i], b[i], c[i]);
                out[i] = $e;
            }
            out
        }
        f
    }};
}
/// A comparison over lanes: bit i of the result is lane i's answer.
macro_rules! compare {
    (|$a:ident: $t:ty, $b:ident| $e:block) => {{
        fn f(a: &[$t; 32], b: &[$t; 32]) -> u32 {
            let mut mask = 0;
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                mask |= u32::from($e) << i;
            }
            mask
        }
        f
    }};
}
pub(super) use {compare, lanes};

/// The f32 with these bits.
pub fn float(bits: u32) -> f32 {
    f32::from_bits(bits)
}
