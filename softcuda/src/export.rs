//! Exported C functions: each is checked against NVIDIA's declaration by the compiler, traced, and open to faults.

use crate::fault::{self, Fate};
use crate::settings::refuse;
use crate::trace;
use crate::{blas, dnn, driver, nvml, nvtx};
use std::cell::Cell;
use std::fmt::Debug;

/// A library's status codes.
pub trait Status: Copy + Debug + PartialEq + 'static {
    const SUCCESS: Self;
    /// The status of every call when the device is gone.
    const LOST: Self;
    /// The status for a null pointer.
    const NULL: Self;
    /// The codes that faults may ask for.
    const KNOWN: &[Self];
    fn number(self) -> i64;

    /// A status from its name or number.
    fn parse(text: &str) -> Result<Self, String> {
        let named = |s: &&Self| format!("{s:?}") == text || s.number().to_string() == text;
        let known = || Self::KNOWN.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        Self::KNOWN.iter().find(named).copied().ok_or_else(|| format!("`{text}` is none of {}", known()))
    }
}

/// Tells whether a text names a status of a library.
type StatusCheck = fn(&str) -> Result<(), String>;

/// An exported function.
pub struct Export {
    pub name: &'static str,
    /// The statuses that a fault may make it return; none where it returns something else.
    pub status: Option<StatusCheck>,
}

/// The exports of each library.
pub const LIBRARIES: [(&str, &[&[Export]]); 5] = [
    ("CUDA driver", &driver::EXPORTS),
    ("cuBLAS", &blas::EXPORTS),
    ("cuDNN", &dnn::EXPORTS),
    ("NVML", &nvml::EXPORTS),
    ("NVTX", &nvtx::EXPORTS),
];

/// The exported function of this name.
pub fn find(name: &str) -> Option<&'static Export> {
    LIBRARIES.into_iter().flat_map(|(_, lists)| lists).flat_map(|list| *list).find(|export| export.name == name)
}

thread_local! {
    static CURRENT: Cell<&'static str> = const { Cell::new("") };
}

/// The exported function that this thread is in.
pub fn current() -> &'static str {
    CURRENT.get()
}

/// Runs the body of an exported function, or the fault that was asked for.
pub fn call<S: Status>(library: &str, name: &'static str, body: impl FnOnce() -> Result<(), S>) -> S {
    CURRENT.set(name);
    let status = match fault::fate(name, library == "cuda") {
        Fate::Lost => S::LOST,
        Fate::Fail(status) => {
            // what is given back is given back, so that only the caller's own leaks are left at exit
            if ["Free", "Destroy", "Unload", "Release"].iter().any(|word| name.contains(word)) {
                let _ = body();
            }
            S::parse(status).unwrap_or_else(|error| refuse(&error))
        }
        Fate::Proceed => body().err().unwrap_or(S::SUCCESS),
    };
    trace::line(format_args!("{library} {name} {status:?}"));
    status
}

/// Writes a result through a C out-pointer.
///
/// # Safety
/// `to` is null or valid for a write.
pub unsafe fn put<T, S: Status>(to: *mut T, value: T) -> Result<(), S> {
    if to.is_null() {
        return Err(S::NULL);
    }
    // SAFETY: not null, hence valid.
    unsafe { to.write(value) };
    Ok(())
}

/// Copies a string into a C buffer of `size` bytes, cut to fit, with its NUL.
///
/// # Safety
/// `to` is valid for `size` bytes.
pub unsafe fn put_text(to: *mut std::ffi::c_char, size: usize, text: &str) {
    let n = text.len().min(size.saturating_sub(1));
    if size > 0 {
        // SAFETY: n + 1 ≤ size bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), to, n);
            to.add(n).write(0);
        }
    }
}

/// `export! { LIST: "library", sys, Status; fn name(arguments) { body } … }`: C functions that return a status, and a
/// list of them. The body ends with `Ok(())` or returns an error. Each signature must equal the binding's.
macro_rules! export {
    ($list:ident: $library:literal, $sys:path, $status:ty; $($(#[$meta:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        $crate::export::export_unchecked! { $list: $library, $status; $($(#[$meta])* fn $name($($a: $t),*) $body)* }
        const _: () = {
            use $sys as sys;
            $(let _: unsafe fn($($t),*) -> $status = sys::$name;)*
        };
    };
}
/// As `export!`, for names that the bindings of this CUDA version no longer declare.
macro_rules! export_unchecked {
    ($list:ident: $library:literal, $status:ty; $($(#[$meta:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        pub const $list: &[$crate::export::Export] = &[$($crate::export::Export {
            name: stringify!($name),
            status: Some(|text| <$status as $crate::export::Status>::parse(text).map(drop)),
        }),*];
    $(
        $(#[$meta])*
        /// # Safety
        /// As NVIDIA's documentation of the function asks.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($a: $t),*) -> $status {
            $crate::export::call($library, stringify!($name), || -> std::result::Result<(), $status> {
                #[allow(unused_unsafe, reason = "not every body needs it")]
                // SAFETY: the caller vouches for its pointers, as the C interface demands.
                unsafe { $body }
            })
        }
    )*};
}
pub(crate) use {export, export_unchecked};

/// C functions that return something else than a status; traced, without faults.
macro_rules! export_plain {
    ($list:ident: $library:literal, $sys:path; $(fn $name:ident($($a:ident: $t:ty),* $(,)?) -> $r:ty $body:block)*) => {
        $crate::export::export_plain_unchecked! { $list: $library; $(fn $name($($a: $t),*) -> $r $body)* }
        const _: () = {
            use $sys as sys;
            $(let _: unsafe fn($($t),*) -> $r = sys::$name;)*
        };
    };
}
/// As `export_plain!`, for names that the bindings declare otherwise.
macro_rules! export_plain_unchecked {
    ($list:ident: $library:literal; $(fn $name:ident($($a:ident: $t:ty),* $(,)?) -> $r:ty $body:block)*) => {
        pub const $list: &[$crate::export::Export] =
            &[$($crate::export::Export { name: stringify!($name), status: None }),*];
    $(
        /// # Safety
        /// As NVIDIA's documentation of the function asks.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($a: $t),*) -> $r {
            $crate::trace::line(format_args!(concat!($library, " ", stringify!($name))));
            $body
        }
    )*};
}
pub(crate) use {export_plain, export_plain_unchecked};
