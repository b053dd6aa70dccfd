import Glibc

/// The terminal that standard output may be.
public enum Terminal {
  /// Whether standard output is a terminal.
  public static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Columns and rows, as the terminal says; 80 by 24 where it does not.
  public static var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
    return (Int(size.ws_col), Int(size.ws_row))
  }
}
