//! Asks the processor to fetch memory that will be needed a few samples from now.
//!
//! From some tens of thousands of series on, waiting for memory is most of what a sample costs. The
//! only unsafe code of saimon: a hint that reads nothing, writes nothing and cannot fault.

/// Bytes that the processor fetches at once.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Hints that all of `value` is needed soon.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(value).cast::<i8>();
        for offset in (0..size_of_val(value)).step_by(LINE) {
            // SAFETY: a prefetch is a hint; it is defined for any address, and these lie inside
            // `value`.
            #[allow(unsafe_code, reason = "there is no safe way to say it")]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start.add(offset));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
