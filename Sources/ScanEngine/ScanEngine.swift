internal import CLibclamav
internal import CScratch
public import Octets
public import ScanWire

#if canImport(Glibc)
  import Glibc
#endif

/// What a scan of some octets came to.
public enum ScanAnswer: Sendable, Equatable {
  /// All of it was looked at, as far as the finding says.
  case found(ScanVerdict.Finding)
  /// It was not, for this reason: never to be taken for clean.
  case failed(String)
}

/// libclamav with a database in memory.
///
/// Loaded once in a process; processes that are forked afterwards share its memory, and each scans with one thread.
@safe
public final class ScanEngine {
  // Owned by this object, from cl_engine_new to cl_engine_free.
  private let engine: OpaquePointer
  private let options: ScanOptions
  /// The engine's and the database's names.
  public let version: ScanVersion
  /// What libclamav complained of while it loaded, though it did load.
  public let warnings: [String]

  @unsafe
  private init(engine: OpaquePointer, options: ScanOptions, version: ScanVersion, warnings: [String]) {
    unsafe self.engine = engine
    self.options = options
    self.version = version
    self.warnings = warnings
  }

  deinit { unsafe cl_engine_free(engine) }

  // MARK: Loading

  /// Once in a process, before anything else here and before it is confined: loads all that libclamav would load later by itself.
  public static func initialize() throws(ScanEngineError) {
    EngineMessages.capture()
    let code = cl_init(UInt32(CL_INIT_DEFAULT))
    if code != CL_SUCCESS { throw .refused(words(code)) }
    // The local time, by which temporary files are named, comes from a file.
    tzset()
    _ = ceralacca_clam_warm_character_sets()
    _ = EngineMessages.takeLines()
  }

  /// libclamav's name and version: "ClamAV 1.4.6".
  public static var name: String { "ClamAV \(unsafe Printable.line(UnsafeRawPointer(cl_retver()), limit: 60))" }

  /// Loads a database and gets it ready, in a thread that gives way to everybody (nice 19) and has ended when this returns.
  ///
  /// - Parameters:
  ///   - database: a folder with signature files, or one such file. When it changes meanwhile it is read anew.
  ///   - temporary: a folder for what libclamav unpacks.
  public static func load(database: String, temporary: String, options: ScanOptions) throws(ScanEngineError) -> ScanEngine {
    let loading = Loading(database: database, temporary: temporary, options: options)
    // The thread has the reference for as long as it runs, which is not longer than this function.
    let context = unsafe Unmanaged.passUnretained(loading).toOpaque()
    let code = unsafe ceralacca_run_aside({ raw in unsafe Unmanaged<Loading>.fromOpaque(raw!).takeUnretainedValue().run() }, context)
    if code != 0 { throw .refused("no thread to load it in: \(unsafe String(cString: strerror(code)))") }
    return try loading.result.get()
  }

  private final class Loading {
    let database: String
    let temporary: String
    let options: ScanOptions
    var result: Result<ScanEngine, ScanEngineError> = .failure(.refused("it was not loaded"))

    init(database: String, temporary: String, options: ScanOptions) {
      self.database = database
      self.temporary = temporary
      self.options = options
    }

    func run() {
      do {
        result = .success(try ScanEngine.loadHere(self))
      } catch {
        result = .failure(error)
      }
    }
  }

  private static let maximumTries = 3

  private static func loadHere(_ loading: Loading) throws(ScanEngineError) -> ScanEngine {
    for _ in 0..<maximumTries {
      let before = try DatabaseFiles(loading.database)
      let name = try before.version()
      let made: ScanEngine
      do {
        made = try load(loading, name)
      } catch {
        // A file that was replaced while it was read is broken in its own way.
        if try DatabaseFiles(loading.database).stamps == before.stamps { throw error }
        continue
      }
      // The version must be of what was loaded.
      if try DatabaseFiles(loading.database).stamps == before.stamps { return made }
    }
    throw .changing(path: loading.database)
  }

  /// Of HTML libclamav scans a normalised copy alone, in lower case, which a signature over the octets as they came does not match. That
  /// is a switch of its dynamic configuration, which can only be set by a database file: all but DOC_CONF_HTMLSKIPRAW. It goes first, so
  /// that the database's own configuration has the last word.
  private static func lookAtRawHTML(_ engine: OpaquePointer, _ temporary: String) throws(ScanEngineError) {
    let path = "\(temporary)/raw-html.cfg"
    let line = Array("DOCUMENT:0xffffffef:0:255\n".utf8)
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if descriptor < 0 { throw DatabaseFiles.unreadable(path) }
    defer { _ = unsafe unlink(path) }
    let written = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    if written != line.count { throw .unreadable(path: path, "it cannot be written") }
    var signatures: UInt32 = 0
    let code = unsafe cl_load(path, engine, &signatures, ceralacca_clam_database_options(0))
    if code != CL_SUCCESS { throw .refused(words(code)) }
  }

  private static func load(_ loading: Loading, _ databaseName: String) throws(ScanEngineError) -> ScanEngine {
    let path = loading.database
    _ = EngineMessages.takeLines()
    guard let engine = unsafe cl_engine_new() else { throw .refused("no memory") }
    var isKept = false
    defer { if !isKept { unsafe cl_engine_free(engine) } }
    let options = loading.options
    unsafe try configure(engine, options, loading.temporary)
    unsafe try lookAtRawHTML(engine, loading.temporary)
    var signatures: UInt32 = 0
    let kinds = ceralacca_clam_database_options(options.detectsPUA ? 1 : 0)
    let loaded = unsafe cl_load(path, engine, &signatures, kinds)
    if loaded != CL_SUCCESS { throw .broken(path: path, complaint(loaded)) }
    if signatures == 0 { throw .empty(path: path) }
    let compiled = unsafe cl_engine_compile(engine)
    if compiled != CL_SUCCESS { throw .broken(path: path, complaint(compiled)) }
    isKept = true
    let version = ScanVersion(engine: name, database: databaseName, signatures: Int(signatures))
    return unsafe ScanEngine(engine: engine, options: options, version: version, warnings: EngineMessages.takeLines())
  }

  private static func configure(_ engine: OpaquePointer, _ options: ScanOptions, _ temporary: String) throws(ScanEngineError) {
    let numbers: [(cl_engine_field, Int)] = [
      // For libclamav 0 is "no limit".
      (CL_ENGINE_MAX_SCANSIZE, max(1, options.maximumScanBytes)),
      (CL_ENGINE_MAX_FILESIZE, max(1, options.maximumFileBytes)),
      (CL_ENGINE_MAX_RECURSION, min(max(1, options.maximumRecursion), 100)),
      (CL_ENGINE_MAX_FILES, min(max(1, options.maximumFiles), Int(Int32.max))),
      (CL_ENGINE_MAX_SCANTIME, milliseconds(options.scanSeconds)),
      // Its own cache knows content by MD5, of which somebody can make two alike.
      (CL_ENGINE_DISABLE_CACHE, 1),
      // Workers may map no code.
      (CL_ENGINE_BYTECODE_MODE, Int(CL_BYTECODE_MODE_INTERPRETER.rawValue)),
    ]
    for (field, number) in numbers {
      let code = unsafe cl_engine_set_num(engine, field, Int64(number))
      if code != CL_SUCCESS { throw .refused("option \(field.rawValue) = \(number): \(words(code))") }
    }
    let code = unsafe cl_engine_set_str(engine, CL_ENGINE_TMPDIR, temporary)
    if code != CL_SUCCESS { throw .refused("temporary folder \(temporary): \(words(code))") }
    unsafe cl_engine_set_clcb_virus_found(engine) { _, name, context in
      guard let name = unsafe name, let context = unsafe context else { return }
      let notes = unsafe Unmanaged<ScanNotes>.fromOpaque(context).takeUnretainedValue()
      notes.take(unsafe Printable.line(UnsafeRawPointer(name), limit: 256))
    }
    unsafe cl_engine_set_clcb_pre_scan(engine) { descriptor, _, context in
      if let context = unsafe context {
        unsafe Unmanaged<ScanNotes>.fromOpaque(context).takeUnretainedValue().look(at: ceralacca_file_bytes(descriptor))
      }
      return CL_CLEAN
    }
    unsafe cl_engine_set_clcb_file_inspection(engine) { _, type, _, _, _, bytes, start, level, _, context in
      guard let type = unsafe type, let context = unsafe context else { return CL_CLEAN }
      let notes = unsafe Unmanaged<ScanNotes>.fromOpaque(context).takeUnretainedValue()
      guard let start = unsafe start else {
        if bytes > 0 { notes.take(.limits("Limits.Unseen")) }
        return CL_CLEAN
      }
      // The octets are there until this returns.
      let octets = unsafe LayerOctets(start: UnsafeRawPointer(start), count: Int(clamping: bytes))
      notes.begin(unsafe Printable.line(UnsafeRawPointer(type), limit: 60), level: level, octets)
      return CL_CLEAN
    }
  }

  private static func milliseconds(_ seconds: Int) -> Int { min(max(1, seconds), 1_000_000) * 1000 }

  /// libclamav's word for a code, and what it said on its way there: the file is named only in that.
  private static func complaint(_ code: cl_error_t) -> String {
    let said = EngineMessages.takeLines().suffix(4).joined(separator: "; ")
    return said.isEmpty ? words(code) : "\(words(code)) (\(said))"
  }

  private static func words(_ code: cl_error_t) -> String { unsafe Printable.line(UnsafeRawPointer(cl_strerror(code)), limit: 100) }

  // MARK: Scanning

  /// Where libclamav believes its files to be, in a worker: a path that is nowhere else.
  private static let scratchPlace = "/ceralacca"
  /// What libclamav's files may have of a worker's memory; what is more goes to the folder.
  private static let scratchBytes = 16 << 20

  /// In a worker, before its first scan: what libclamav unpacks stays in memory from now on, and goes to this folder when it is much. A
  /// second time in a process does not go.
  public func useTemporary(_ folder: String) throws(ScanEngineError) {
    let fault = unsafe ceralacca_scratch_begin(Self.scratchPlace, folder, Self.scratchBytes)
    if fault != 0 { throw .refused("temporary folder \(folder): \(unsafe String(cString: strerror(fault)))") }
    let code = unsafe cl_engine_set_str(engine, CL_ENGINE_TMPDIR, Self.scratchPlace)
    if code != CL_SUCCESS { throw .refused("temporary folder \(Self.scratchPlace): \(Self.words(code))") }
  }

  /// Scans octets that are in memory.
  ///
  /// - Parameter milliseconds: after these libclamav gives up, which is a limit reached.
  public func scan(_ octets: Chunk, milliseconds: Int) -> ScanAnswer {
    if octets.isEmpty { return .found(.clean) }
    let begun = ContinuousClock.now
    let first = ScanNotes(options)
    let answer = once(octets, milliseconds: milliseconds, first, all: false)
    guard case .found(let finding) = answer, first.isSuspicious else { return answer }
    if case .infected = finding { return answer }
    // Of several suspicions libclamav names the first alone. An encrypted archive could stand before what exceeds a limit, and either
    // before a suspicion that counts as a threat: all of them have to be heard.
    let left = milliseconds - Int((ContinuousClock.now - begun) / .milliseconds(1))
    guard left > 0 else { return .found(finding.graver(.limits(Self.outOfTime))) }
    let second = ScanNotes(options)
    guard case .found(let worst) = once(octets, milliseconds: left, second, all: true) else {
      return .failed("a second look at what is \(finding.name ?? "suspicious") failed")
    }
    return .found(finding.graver(worst))
  }

  /// After a large message: gives the memory back that it took.
  public static func releaseMemory() { ceralacca_trim_memory() }

  /// Our word for a message that took too long.
  public static let outOfTime = "Limits.Time"

  /// Our word and libclamav's for a message that took too long.
  public static let timeLimits: Set<String> = [outOfTime, "Heuristics.Limits.Exceeded.MaxScanTime"]

  private func once(_ octets: Chunk, milliseconds: Int, _ notes: ScanNotes, all: Bool) -> ScanAnswer {
    unsafe cl_engine_set_num(engine, CL_ENGINE_MAX_SCANTIME, Int64(min(max(1, milliseconds), Int(Int32.max))))
    var name: UnsafePointer<CChar>?
    var scanned: UInt = 0
    var choices = ceralacca_clam_scan_options(options.heuristics ? 1 : 0, 1, all ? 1 : 0)
    // The callbacks have the reference during the call alone.
    let context = unsafe Unmanaged.passUnretained(notes).toOpaque()
    let code = unsafe octets.withUnsafeBytes { bytes -> cl_error_t in
      // The map points at the octets; it goes before they do.
      guard let map = unsafe cl_fmap_open_memory(bytes.baseAddress, bytes.count) else { return CL_EMEM }
      defer { unsafe cl_fmap_close(map) }
      return unsafe cl_scanmap_callback(map, nil, &name, &scanned, engine, &choices, context)
    }
    withExtendedLifetime(notes) {}
    // Nothing of one message stays for the next, whatever libclamav forgot.
    ceralacca_scratch_clear()
    let shortage = EngineMessages.takeShortage()
    switch code {
    case CL_CLEAN: break
    case CL_VIRUS:
      notes.isSuspicious = true
      notes.take(unsafe name.map { unsafe Printable.line(UnsafeRawPointer($0), limit: 256) } ?? "")
    case CL_ETIMEOUT: notes.take(.limits(Self.outOfTime))
    case CL_EMAXREC: notes.take(.limits("Limits.Depth"))
    case CL_EMAXSIZE: notes.take(.limits("Limits.Size"))
    case CL_EMAXFILES: notes.take(.limits("Limits.Files"))
    default: return .failed(shortage.map { "\(Self.words(code)) (\($0))" } ?? Self.words(code))
    }
    // Of several suspicions only the second look hears all, and with them of what is encrypted.
    if all || !notes.isSuspicious { notes.end() }
    // A threat is one, whatever else could not be looked into.
    if case .infected = notes.worst { return .found(notes.worst) }
    if let shortage { return .failed(shortage) }
    return .found(notes.worst)
  }
}

/// What came up in one scan. Used by one thread.
private final class ScanNotes {
  private(set) var worst: ScanVerdict.Finding = .clean
  /// Whether libclamav named something, of which there may be more.
  var isSuspicious = false
  private let trimmedBytes: Int64

  /// What libclamav unpacks at a time (BUFSIZ).
  private static let pieceBytes = 8192

  /// Whether what is encrypted counts. libclamav is always asked: that nothing of it was seen then is no wonder.
  private let alertsEncrypted: Bool
  private var encrypted: Set<String> = []
  private var layers = ArchiveLayers()

  init(_ options: ScanOptions) {
    trimmedBytes = Int64(max(1, options.maximumFileBytes - Self.pieceBytes))
    alertsEncrypted = options.alertsEncrypted
  }

  /// libclamav is about to look at a layer.
  func begin(_ type: String, level: UInt32, _ octets: LayerOctets) { layers.begin(type, level: level, octets) }

  /// The scan is over, and everything was heard.
  func end() {
    for finding in layers.end(encrypted: encrypted) { take(finding) }
  }

  /// A file was unpacked. Of a larger one in a zip libclamav scans the beginning, up to its limit less a piece, and says nothing of it.
  func look(at bytes: Int64) {
    if bytes > trimmedBytes { take(.limits("Limits.FileSize")) }
  }

  func take(_ finding: ScanVerdict.Finding) { worst = worst.graver(finding) }

  func take(_ name: String) {
    if name.hasPrefix("Heuristics.Limits.Exceeded") {
      take(.limits(name))
    } else if name.hasPrefix("Heuristics.Encrypted.") {
      encrypted.insert(name)
      if alertsEncrypted { take(.encrypted(name)) }
    } else {
      take(.infected(name.isEmpty ? "unnamed" : name))
    }
  }
}
