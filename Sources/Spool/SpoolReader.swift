public import Octets

/// Reads the spool of a gateway, running or stopped, from another process: for the operator's commands.
///
/// It takes no lock and holds nothing, so the gateway may write a segment again while it reads; it therefore copies a record
/// and then believes only what its checksum proves.
public struct SpoolReader: Sendable {
  private let directory: String

  /// - Parameter directory: the spool's folder.
  public init(directory: String) { self.directory = directory }

  /// A copy of the octets of a range.
  ///
  /// - Throws: `damaged` when there is no such range any more, or it does not hold what was written.
  public func read(_ range: StoredRange) throws(SpoolError) -> [UInt8] {
    do throws(SegmentFault) {
      let mapping = try SegmentMapping(path: SegmentName.path(directory, range.segment), number: range.segment)
      guard let offsets = SegmentMapping.offsets(of: range, end: mapping.count) else { throw SegmentFault(.outOfBounds) }
      let copied: Result<[UInt8], SegmentFault> = mapping.withBytes { bytes in
        let index = SegmentIndex(bytes, segment: range.segment, salt: mapping.salt)
        guard let record = index.record(holding: offsets) else { return .failure(SegmentFault(.noRecord)) }
        let place = index.places[record]
        let copy = [UInt8](copying: bytes.extracting(place.header..<place.payloadEnd + SegmentFormat.trailerBytes))
        let moved = RecordPlace(header: 0, length: place.length, version: place.version, code: place.code)
        if let fault = SegmentFormat.fault(of: moved, in: copy.span) { return .failure(SegmentFault(fault)) }
        let start = offsets.lowerBound - place.header
        return .success(Array(copy[start..<start + offsets.count]))
      }
      return try copied.get()
    } catch {
      throw .damaged(range, error.fault)
    }
  }

  /// The numbers of the segment files that are there, with their lengths.
  public func segments() throws(SpoolError) -> [(number: UInt32, fileBytes: Int)] {
    try SpoolOpening.files(in: directory).sorted { $0.number < $1.number }
  }

  /// The name of a segment's file in the spool's folder.
  public static func fileName(_ number: UInt32) -> String { SegmentName.path("", number).split(separator: "/").last.map(String.init) ?? "" }

  /// Reads the records that hold these ranges, each once, and compares them with their checksums; for files that nobody writes.
  ///
  /// - Returns: what is wrong, for those of the ranges that could not be read as they were written.
  public func verify(_ ranges: [StoredRange]) -> [StoredRange: SpoolFault] {
    var faults: [StoredRange: SpoolFault] = [:]
    for (number, ranges) in Dictionary(grouping: ranges, by: \.segment) {
      do throws(SegmentFault) {
        let mapping = try SegmentMapping(path: SegmentName.path(directory, number), number: number)
        var proven = ProvenRecords()
        for range in ranges {
          guard let offsets = SegmentMapping.offsets(of: range, end: mapping.count) else {
            faults[range] = .outOfBounds
            continue
          }
          if proven.holds(offsets) { continue }
          let read = mapping.withBytes {
            SegmentFormat.soundRecord(
              holding: offsets, in: $0, segment: number, salt: mapping.salt, isReadable: { mapping.isReadable($0) })
          }
          switch read {
          case .success(let record): proven.insert(record)
          case .failure(let error): faults[range] = error.fault
          }
        }
      } catch {
        for range in ranges { faults[range] = error.fault }
      }
    }
    return faults
  }
}
