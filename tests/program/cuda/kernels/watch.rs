//! Mistakes in this program's kernels would be seen: softcuda finds those that are put in here.

use softcuda::{FindingKind, ptx};

use super::channels::Channels;
use super::harness::*;

fn error(name: &str, grid: u32, arguments: &[&dyn Argument]) -> ptx::KernelError {
    launch_of(&KERNELS, name, [grid, 1, 1], [256, 1, 1], arguments).expect_err(name)
}

#[test]
fn one_element_too_many_is_out_of_bounds() {
    let (x, y) = (Buffer::of(&[1f32; 300]), Buffer::<f32>::fresh(300));
    let error = error("add_f32", 2, &[&x, &x, &y, &301u32]);
    assert_eq!(error.kind, FindingKind::OutOfBounds, "{error}");
    // 75 vectors of four, and one element that is left over.
    assert_eq!((error.block, error.thread), ([0, 0, 0], Some(0)), "{error}");
}

#[test]
fn an_uninitialised_read_names_line_and_thread() {
    let (x, y) = (Buffer::<f32>::fresh(32), Buffer::<f32>::fresh(32));
    let error = error("add_f32", 1, &[&x, &x, &y, &32u32]);
    assert_eq!((error.kind, error.thread), (FindingKind::UninitialisedRead, Some(0)), "{error}");
    assert!(error.line > 0);
}

#[test]
fn swapped_arguments_read_what_was_never_written() {
    let (x, y) = (Buffer::of(&[1f32; 32]), Buffer::<f32>::fresh(32));
    assert_eq!(error("add_f32", 1, &[&y, &y, &x, &32u32]).kind, FindingKind::UninitialisedRead);
}

#[test]
fn a_freed_buffer_is_recognised() {
    let (x, y) = (Buffer::of(&[1f32; 32]).address, Buffer::<f32>::fresh(32));
    assert_eq!(error("add_f32", 1, &[&x, &x, &y, &32u32]).kind, FindingKind::UseAfterFree);
}

#[test]
fn a_misaligned_access_is_refused() {
    let (x, y) = (Buffer::of(&[1f32; 33]), Buffer::<f32>::fresh(32));
    assert_eq!(error("add_f32", 1, &[&x, &(x.address + 2), &y, &32u32]).kind, FindingKind::Misaligned);
}

/// Every kernel that uses shared memory, with its barriers taken out, races.
#[test]
fn kernels_without_their_barriers_race() {
    let without_barriers = |source: &str| ptx::parse(&source.replace("bar.sync \t0;", "")).expect("PTX");
    let named = |name: &str| SOURCES.iter().find(|(n, _)| *n == name).map(|(_, s)| without_barriers(s)).expect(name);
    let x = Buffer::of(&[1f32; 4096]);
    let (labels, y, losses) = (Buffer::of(&[0i32; 4]), Buffer::<f32>::fresh(4096), Buffer::<f32>::fresh(64));

    let results = [
        launch_of(
            &named("softmax_loss"),
            "softmax_loss_forward_f32",
            [4, 1, 1],
            [256, 1, 1],
            &[&x, &labels, &y, &losses, &512u32],
        ),
        launch_of(
            &named("bias"),
            "bias_gradient_f32",
            [2, 1, 1],
            [32, 8, 1],
            &[&x, &0u64, &losses, &Channels { outer: 64, channels: 64, inner: 1 }.argument()],
        ),
        launch_of(&named("layout"), "transpose_f32", [2, 2, 1], [32, 8, 1], &[&x, &y, &64u32, &64u32]),
    ];
    for result in results {
        let error = result.expect_err("a race");
        let seen = [FindingKind::SharedMemoryRace, FindingKind::UninitialisedRead].contains(&error.kind);
        assert!(seen && error.what.contains("shared"), "{error}");
    }
}

#[test]
fn pointer_parameters_are_known() {
    let kernel = &KERNELS["sgd_f16"];
    let pointers: Vec<bool> = kernel.parameters.iter().map(|p| p.is_pointer).collect();
    assert_eq!(pointers, [true, true, true, true, true, false, false, false, false]);
}
