/// How old a signature database is.
public enum SignatureDatabase {
  /// When the newest file of a database folder (or the file itself) was written, Unix seconds; nil when none is there.
  public static func newestUnixSeconds(of path: String) -> Int64? {
    DatabaseTraces(of: path)?.newestUnixSeconds.map(Int64.init)
  }
}
