import ScanWire

/// Finds the archives that libclamav named but did not look into: it says nothing of them.
///
/// libclamav tells of each layer before it goes on to what is in it, one level deeper. What it cuts out of the middle of a layer it tells
/// nothing of, only of that one's contents: two levels deeper.
struct ArchiveLayers {
  private struct Layer {
    var level: UInt32
    var format: String
    /// Found in the middle of the layer one level above this one.
    var isInner = false
  }

  /// Those in which nothing was seen yet, from the outermost.
  private var waiting: [Layer] = []
  private(set) var unopened: Set<String> = []
  /// True when there was a zip with an entry that libclamav does not know how to unpack.
  private(set) var hasUnknownZipMethod = false

  /// libclamav's types, and our words for them.
  private static let formats = [
    "CL_TYPE_RAR": "RAR", "CL_TYPE_RARSFX": "RAR", "CL_TYPE_7Z": "7Z", "CL_TYPE_7ZSFX": "7Z", "CL_TYPE_EGG": "EGG", "CL_TYPE_ALZ": "ALZ",
    "CL_TYPE_ARJ": "ARJ", "CL_TYPE_MSCAB": "CAB", "CL_TYPE_LHA_LZH": "LHA",
  ]

  /// libclamav is about to look at this.
  mutating func begin(_ type: String, level: UInt32, _ octets: LayerOctets) {
    let format = Self.formats[type]
    settle(level: level, format)
    if !hasUnknownZipMethod { hasUnknownZipMethod = octets.hasUnknownZipMethod }
    if let format {
      let isEmpty = format == "7Z" && octets.isEmpty7z || format == "CAB" && octets.isEmptyCabinet
      if !isEmpty { waiting.append(Layer(level: level, format: format)) }
    } else {
      if octets.hasInnerRAR { waiting.append(Layer(level: level + 1, format: "RAR", isInner: true)) }
      if octets.hasInner7z { waiting.append(Layer(level: level + 1, format: "7Z", isInner: true)) }
    }
  }

  /// Takes those away that the next layer shows to be opened, and those in which nothing can come any more.
  private mutating func settle(level: UInt32, _ format: String?) {
    waiting.removeAll { layer in
      if level == layer.level + 1 { return true }
      // The outer layer's format was unpacked properly, and this came out.
      if layer.isInner, level == layer.level { return format == layer.format }
      if level > layer.level { return false }
      unopened.insert(layer.format)
      return true
    }
  }

  /// At the end of a scan: what was not looked into. `encrypted` are libclamav's names for what is encrypted, which is why.
  mutating func end(encrypted: Set<String>) -> [ScanVerdict.Finding] {
    for layer in waiting { unopened.insert(layer.format) }
    waiting = []
    let names = encrypted.map { $0.uppercased() }
    var findings = unopened.sorted().filter { format in !names.contains { $0.hasSuffix(".\(format)") || $0.hasSuffix(".\(format)IP") } }
    if hasUnknownZipMethod { findings.append("Zip") }
    return findings.map { .limits("Limits.Unsupported.\($0)") }
  }
}
