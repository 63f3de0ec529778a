//! That the interpreter sees what it is there to see.

use super::harness::*;
use softcuda::ptx;

fn fault(name: &str, grid: u32, arguments: &[&dyn Argument]) -> ptx::KernelError {
    launch_of(&KERNELS, name, [grid, 1, 1], [256, 1, 1], arguments).expect_err(name)
}

#[test]
fn one_element_too_many_is_out_of_bounds() {
    let (x, y) = (Buffer::of(&[1f32; 300]), Buffer::<f32>::fresh(300));
    let fault = fault("add_f32", 2, &[&x, &x, &y, &301u32]);
    assert!(fault.what.contains("out of bounds"), "{fault}");
    assert_eq!((fault.block, fault.thread), ([1, 0, 0], Some(44)), "{fault}");
}

#[test]
fn an_uninitialised_read_names_line_and_thread() {
    let (x, y) = (Buffer::<f32>::fresh(32), Buffer::<f32>::fresh(32));
    let fault = fault("add_f32", 1, &[&x, &x, &y, &32u32]);
    assert!(fault.what.contains("uninitialised") && fault.line > 0 && fault.thread == Some(0), "{fault}");
}

#[test]
fn swapped_arguments_read_what_was_never_written() {
    let (x, y) = (Buffer::of(&[1f32; 32]), Buffer::<f32>::fresh(32));
    assert!(fault("add_f32", 1, &[&y, &y, &x, &32u32]).what.contains("uninitialised"));
}

#[test]
fn a_freed_buffer_is_recognised() {
    let (x, y) = (Buffer::of(&[1f32; 32]).address, Buffer::<f32>::fresh(32));
    assert!(fault("add_f32", 1, &[&x, &x, &y, &32u32]).what.contains("freed before"));
}

#[test]
fn a_misaligned_access_is_refused() {
    let (x, y) = (Buffer::of(&[1f32; 33]), Buffer::<f32>::fresh(32));
    assert!(fault("add_f32", 1, &[&x, &(x.address + 2), &y, &32u32]).what.contains("misaligned"));
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
        launch_of(&named("bias"), "bias_gradient_f32", [2, 1, 1], [32, 8, 1], &[&x, &0u64, &losses, &[64u32, 64, 1]]),
        launch_of(&named("layout"), "transpose_f32", [2, 2, 1], [32, 8, 1], &[&x, &y, &64u32, &64u32]),
    ];
    for result in results {
        let fault = result.expect_err("a race");
        assert!(fault.what.contains("race") || fault.what.contains("before anything was written"), "{fault}");
    }
}

/// Only half of the threads reach the barrier.
#[test]
fn a_divergent_barrier_is_reported() {
    let source = ".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry half(\n.param .u64 p\n)\n{\n\
        .reg .pred %p<2>;\n.reg .b32 %r<2>;\nmov.u32 %r1, %tid.x;\nsetp.lt.u32 %p1, %r1, 16;\n@%p1 bra $done;\n\
        bar.sync 0;\nbra.uni $end;\n$done:\nbar.sync 0;\n$end:\nret;\n}\n";
    let kernels = ptx::parse(source).expect("PTX");
    let fault = launch_of(&kernels, "half", [1, 1, 1], [32, 1, 1], &[&0u64]).expect_err("divergence");
    assert!(fault.what.contains("divergent"), "{fault}");
}

#[test]
fn an_unknown_instruction_is_refused_with_its_line() {
    let source = ".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry k(\n.param .u64 p\n)\n{\n.reg .b32 %r<2>;\nbrev.b32 %r1, %r1;\nret;\n}\n";
    assert_eq!(ptx::parse(source).expect_err("brev"), "PTX line 9: instruction `brev.b32` is not supported");
}

#[test]
fn pointer_parameters_are_known() {
    let kernel = &KERNELS["sgd_f16"];
    let pointers: Vec<bool> = kernel.parameters.iter().map(|p| p.is_pointer).collect();
    assert_eq!(pointers, [true, true, true, true, true, false, false, false, false]);
}
