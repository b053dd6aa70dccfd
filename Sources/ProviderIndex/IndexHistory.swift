import FoundationEssentials

/// The indexes that held in the past, a file for each change: a message is judged with the index of its time (pec-rules 10.4).
struct IndexHistory {
  /// Files that are kept; the oldest go.
  static let most = 60

  var folder: String

  /// A file of the history.
  struct Item: Equatable {
    /// When it began to hold.
    var unixSeconds: Int64
    var path: String
  }

  private static let style = Date.ISO8601FormatStyle(dateSeparator: .omitted, timeSeparator: .omitted)

  /// From the oldest to the newest; what is not named as ours is passed over.
  var items: [Item] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.compactMap { name -> Item? in
      guard name.hasPrefix("index-"), name.hasSuffix(".ldif") || name.hasSuffix(".p7m"), let dot = name.lastIndex(of: ".") else {
        return nil
      }
      let stamp = String(name[..<dot].dropFirst(6))
      guard let date = try? Date(stamp, strategy: IndexHistory.style) else { return nil }
      return Item(unixSeconds: Int64(date.timeIntervalSince1970), path: folder + "/" + name)
    }.sorted { ($0.unixSeconds, $0.path) < ($1.unixSeconds, $1.path) }
  }

  /// The file that held at an instant; nil when there is none so old.
  func item(at unixSeconds: Int64) -> Item? { items.last { $0.unixSeconds <= unixSeconds } }

  /// Adds what holds from now on, unless the newest is the same; returns why it could not be.
  func add(_ octets: [UInt8], isPlain: Bool, unixSeconds: Int64) -> String? {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      return "\(folder): \(IndexFiles.describe(error))"
    }
    if let newest = items.last, case .success(let file) = IndexFiles.read(newest.path), file.octets == octets { return nil }
    let stamp = Date(timeIntervalSince1970: Double(unixSeconds)).formatted(IndexHistory.style)
    if let failure = IndexFiles.replace("\(folder)/index-\(stamp).\(isPlain ? "ldif" : "p7m")", with: octets) { return failure }
    for item in items.dropLast(IndexHistory.most) { try? FileManager.default.removeItem(atPath: item.path) }
    return nil
  }
}
