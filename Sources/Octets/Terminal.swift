internal import CPlatform

/// The terminal that a command writes to.
public enum Terminal {
  /// Columns of the terminal on standard output; nil when it is none.
  public static var columns: Int? { columns(of: 1) }

  /// True when standard error is a terminal, which shows how far something is.
  public static var isWatched: Bool { columns(of: 2) != nil }

  private static func columns(of descriptor: Int32) -> Int? {
    let columns = Int(ceralacca_terminal_columns(descriptor))
    return columns > 0 ? columns : nil
  }
}
