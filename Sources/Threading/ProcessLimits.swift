internal import CPlatform

/// Bounds that the system sets to this process.
public enum ProcessLimits {
  /// Raises the number of descriptors that may be open to the most this process may have, and returns it.
  public static func raiseOpenDescriptors() -> Int { max(0, ceralacca_raise_descriptors()) }
}
