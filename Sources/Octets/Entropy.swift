internal import CPlatform

/// The system's random source. Pure rooms never call it: their randomness comes in with the event.
public enum Entropy {
  /// `count` random octets. Traps only when the kernel has no randomness to give, which Linux does not let happen after boot.
  public static func bytes(_ count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: max(1, count)) { out, filled in
      let failure = unsafe ceralacca_random(out.baseAddress!, count)
      precondition(failure == 0, "getrandom failed: \(failure)")
      filled = count
    }
  }

  /// 64 random bits.
  public static func word() -> UInt64 { bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

/// Offset of local time from UTC by the system's time zone database.
public enum LocalTime {
  /// Makes local time Italy's legal time (RFC 6109 §4.2), whatever zone the machine is in, unless the environment names one by TZ.
  /// Call it once, before there are threads.
  public static func useLegalTime() { unsafe ceralacca_default_zone("Europe/Rome") }

  /// Seconds east of UTC that the system's zone (environment variable TZ, or /etc/localtime) had at that instant.
  public static func utcOffsetSeconds(at unixSeconds: Int64) -> Int { ceralacca_utc_offset(unixSeconds) }
}
