/// An archive time stamp (RFC 4998 §4.1): a token, and what leads from the data's digest to its imprint.
struct ArchiveTimeStamp: Sendable, Equatable {
  /// The encoding, which later stamps are about: kept as it was read.
  let octets: [UInt8]
  let token: TimeStampToken
  /// What its tree and imprint are made with.
  let digest: TimeStampDigest
  /// Empty: the imprint is the digest itself.
  let reduced: [[[UInt8]]]

  private static let maximumLists = 64
  private static let maximumValues = 1 << 16

  init(_ token: TimeStampToken, reduced: [[[UInt8]]] = []) {
    self.token = token
    self.reduced = reduced
    digest = token.digest
    let algorithm = DERWriter.element(DERWriter.context(0), digest.identifierContent(withNull: false))
    let lists = reduced.map { list in
      DERWriter.element(DERWriter.sequence, joining: list.map { DERWriter.element(DERWriter.octetString, $0) })
    }
    let tree = lists.isEmpty ? [] : DERWriter.element(DERWriter.context(2), joining: lists)
    octets = DERWriter.element(DERWriter.sequence, algorithm, tree, token.octets)
  }

  /// Reads one.
  init(_ reader: inout DERReader) throws(TimeStampError) {
    let element = try reader.next(DERWriter.sequence)
    octets = reader.whole(element)
    var inner = reader.inside(element)
    let algorithm = try inner.optional(DERWriter.context(0)).map { (element) throws(TimeStampError) in
      try inner.inside(element).digestContent()
    }
    // Attributes say how the token is to be understood in the eyes of their maker; none is known here.
    if inner.nextTag == DERWriter.context(1) { throw inner.fault("has attributes, which are not known here") }
    var reduced: [[[UInt8]]] = []
    if let tree = try inner.optional(DERWriter.context(2)) { reduced = try ArchiveTimeStamp.lists(inner.inside(tree)) }
    token = try TimeStampToken(reading: inner.whole(try inner.next(DERWriter.sequence)))
    try inner.finish()
    digest = algorithm ?? token.digest
    self.reduced = reduced
    guard digest == token.digest else { throw .evidence("has a tree of \(digest.rawValue) under a stamp of \(token.digest.rawValue)") }
    guard reduced.allSatisfy({ $0.allSatisfy { [digest] in $0.count == digest.bytes } }) else {
      throw .evidence("has a tree with values that are not \(digest.rawValue)")
    }
  }

  private static func lists(_ tree: DERReader) throws(TimeStampError) -> [[[UInt8]]] {
    var tree = tree
    var lists: [[[UInt8]]] = []
    var values = 0
    while !tree.isAtEnd {
      var list = tree.inside(try tree.next(DERWriter.sequence))
      var found: [[UInt8]] = []
      while !list.isAtEnd {
        found.append(list.content(try list.next(DERWriter.octetString)))
        values += 1
        guard values <= maximumValues else { throw tree.fault("has a tree that is too large") }
      }
      guard !found.isEmpty, lists.count < maximumLists else { throw tree.fault("has a tree that is none") }
      lists.append(found)
    }
    guard !lists.isEmpty else { throw tree.fault("has a tree that is none") }
    return lists
  }

  /// Whether the stamp is about this value.
  func covers(_ value: [UInt8]) -> Bool { HashTree.root(from: value, through: reduced, digest) == token.imprint }
}
