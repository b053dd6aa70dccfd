import Metering

extension Watch {
  /// All metrics, as they are now.
  func families() -> [MetricFamily] {
    let report = self.report()
    return about(report) + taking(report) + moving(report) + certifying(report) + keeping(report) + resting(report)
  }

  private typealias Label = MetricFamily.Label

  private func about(_ report: StatusReport) -> [MetricFamily] {
    var build = MetricFamily("ceralacca_build", .info, "The version that runs.")
    build.add(1, Label("version", report.version))
    var alarms = MetricFamily("ceralacca_alarm", .gauge, "1 while something needs a person; the name is an anchor of the runbook.")
    for name in Alarms.names {
      let on = report.alarms.first { $0.name == name }
      alarms.add(on == nil ? 0 : 1, Label("alarm", name))
    }
    var lanes = MetricFamily(
      "ceralacca_lane_silence_seconds", .gauge, "Time since a lane has looked at its clock, which it does each second.")
    for (number, seconds) in report.laneSilenceSeconds.enumerated() { lanes.add(seconds, Label("lane", "\(number)")) }
    return [
      build, alarms, lanes,
      MetricFamily(
        "ceralacca_ready", .gauge, "1 while mail is taken, as /ready says.", Readiness.ready(report).isEmpty ? 1 : 0),
      MetricFamily("ceralacca_healthy", .gauge, "1 while the process works, as /health says.", Readiness.health(report).isEmpty ? 1 : 0),
      MetricFamily("ceralacca_draining", .gauge, "1 once nothing new is taken.", report.isDraining ? 1 : 0),
      MetricFamily("ceralacca_look_age_seconds", .gauge, "Time since ledger, spool and files were looked at.", report.lookAgeSeconds),
    ]
  }

  private func taking(_ report: StatusReport) -> [MetricFamily] {
    let measures = subject.shared.measures
    var connections = MetricFamily("ceralacca_connections", .counter, "Connections taken, by kind of listener.")
    for (kind, count) in report.sessions.connections.sorted(by: { $0.key < $1.key }) { connections.add(count, Label("listener", kind)) }
    var refused = MetricFamily("ceralacca_connections_refused", .counter, "Connections refused before a session began, by SMTP code.")
    for (code, count) in measures.refusedConnections.all { refused.add(count, Label("code", code)) }
    var bounds = MetricFamily(
      "ceralacca_bound_refusals", .counter, "Refusals because somebody came too often, or too many came at once, by the key of the bound.")
    for (bound, count) in measures.bounds.all { bounds.add(count, Label("bound", bound.rawValue)) }
    var logins = MetricFamily("ceralacca_authentications", .counter, "AUTH exchanges, by outcome.")
    for (result, count) in measures.authentications.all { logins.add(count, Label("result", result)) }
    var messages = MetricFamily("ceralacca_messages", .counter, "Messages offered whole, by point and what became of them.")
    for (key, count) in measures.messages.all {
      messages.add(count, Label("point", key.first.rawValue), Label("outcome", key.second.rawValue))
    }
    var refusals = MetricFamily(
      "ceralacca_refusals", .counter, "MAIL, RCPT and messages answered 4xx or 5xx, by the subject of the status (RFC 3463).")
    // Most combinations never come: those that did are told.
    for (key, count) in measures.refusals.all where count > 0 || key.phase == .message && key.reason == .other {
      refusals.add(
        count, Label("point", key.point.rawValue), Label("phase", key.phase.rawValue), Label("class", key.isFinal ? "5xx" : "4xx"),
        Label("reason", key.reason.rawValue))
    }
    var bytes = MetricFamily("ceralacca_message_bytes", .counter, "Octets of messages offered whole, by point.")
    var recipients = MetricFamily("ceralacca_message_recipients", .counter, "Recipients of messages offered whole, by point.")
    var times = MetricFamily("ceralacca_reply_seconds", .histogram, "From a message's last octet to its reply, by point.")
    for point in IntakePoint.allCases {
      bytes.add(measures.messageBytes[point], Label("point", point.rawValue))
      recipients.add(measures.recipients[point], Label("point", point.rawValue))
      if let histogram = measures.replySeconds[point] { times.add(histogram.reading, Label("point", point.rawValue)) }
    }
    return [
      connections, refused, bounds,
      MetricFamily("ceralacca_sessions_open", .gauge, "SMTP sessions open now.", Double(report.sessions.open)),
      MetricFamily("ceralacca_sessions_maximum", .gauge, "SMTP sessions that may be open at once.", Double(report.sessions.maximum)),
      logins, messages, refusals, bytes, recipients, times,
    ]
  }

  private func moving(_ report: StatusReport) -> [MetricFamily] {
    let measures = subject.shared.measures
    var queued = MetricFamily("ceralacca_messages_queued", .counter, "Messages put into the queue, by kind: made here, or passed on.")
    for (kind, count) in measures.emitted.all { queued.add(count, Label("kind", kind.rawValue)) }
    var deliveries = MetricFamily("ceralacca_deliveries", .counter, "What was heard of recipients, by route: sent, deferred, bounced.")
    for (key, count) in measures.deliveries.all {
      deliveries.add(count, Label("route", key.first), Label("status", key.second.rawValue))
    }
    var entries = MetricFamily("ceralacca_queue_entries", .gauge, "Messages that wait or are under way, by route.")
    var recipients = MetricFamily("ceralacca_queue_recipients", .gauge, "Recipients whose fate is open, by route.")
    var awaiting = MetricFamily("ceralacca_queue_awaiting_reports", .gauge, "Recipients whose delivery report is awaited, by route.")
    var oldest = MetricFamily("ceralacca_queue_oldest_timestamp_seconds", .gauge, "When the oldest message came into the queue, by route.")
    var held = MetricFamily("ceralacca_queue_held_entries", .gauge, "Messages that wait because an operator holds them, by route.")
    let parts = Dictionary(uniqueKeysWithValues: report.queue.routes.map { ($0.route, $0) })
    for route in measures.routes {
      entries.add(parts[route]?.entries ?? 0, Label("route", route))
      recipients.add(parts[route]?.recipients ?? 0, Label("route", route))
      held.add(parts[route]?.held ?? 0, Label("route", route))
      awaiting.add(parts[route]?.awaiting ?? 0, Label("route", route))
      if let at = parts[route]?.oldestAt { oldest.add(Double(at), Label("route", route)) }
    }
    var quotas = MetricFamily("ceralacca_quota_answers", .counter, "Mailboxes whose room was asked for, by what was heard.")
    for (word, count) in measures.quotas.all { quotas.add(count, Label("answer", word)) }
    return [
      queued, deliveries, quotas, entries, recipients, awaiting, oldest, held,
      MetricFamily(
        "ceralacca_queue_held_since_timestamp_seconds", .gauge, "When the oldest hold in force began.",
        report.queue.heldSince.map(Double.init)),
      MetricFamily("ceralacca_deadlines", .gauge, "Transactions for which a deadline runs.", Double(report.deadlines.pending)),
      MetricFamily(
        "ceralacca_deadline_next_timestamp_seconds", .gauge, "When the next deadline is due.", report.deadlines.nextAt.map(Double.init)),
    ]
  }

  private func certifying(_ report: StatusReport) -> [MetricFamily] {
    let measures = subject.shared.measures
    var signer = MetricFamily("ceralacca_signer", .info, "What signs.")
    signer.add(1, Label("backend", report.signer.backend))
    var signatures = MetricFamily("ceralacca_signatures", .counter, "Signatures, by outcome; faulty ones did not verify and were not used.")
    signatures.add(report.signer.signatures, Label("result", "made"))
    signatures.add(report.signer.failures, Label("result", "failed"))
    signatures.add(report.signer.faulty, Label("result", "faulty"))
    func ranges(_ name: String, _ help: String, _ histogram: Histogram) -> MetricFamily {
      var family = MetricFamily(name, .histogram, help)
      family.add(histogram.reading)
      return family
    }
    var start = MetricFamily("ceralacca_certificate_start_timestamp_seconds", .gauge, "When a certificate's validity began.")
    var expiry = MetricFamily("ceralacca_certificate_expiry_timestamp_seconds", .gauge, "When a certificate ends, by its use.")
    for one in report.certificates {
      let (use, name) = (Label("use", one.use.rawValue), Label("name", one.name))
      let (key, file) = (Label("key", one.key), Label("file", one.file ?? ""))
      start.add(Double(one.notBefore), use, name, key, file)
      expiry.add(Double(one.notAfter), use, name, key, file)
    }
    let clock = report.clock
    return [
      signer, signatures,
      MetricFamily("ceralacca_signer_waiting", .gauge, "Contents that wait for a signing thread.", Double(report.signer.waiting)),
      MetricFamily("ceralacca_signer_busy_seconds", .counter, "Time of signing threads at work.", report.signer.busySeconds),
      ranges("ceralacca_signing_seconds", "From asking for a signature to having it, waiting included.", measures.signingSeconds),
      ranges("ceralacca_signer_batch_seconds", "Time that a batch of signatures took.", measures.batchSeconds),
      ranges("ceralacca_signer_batch_signatures", "Signatures in a batch.", measures.batchSizes),
      start, expiry,
      MetricFamily("ceralacca_clock_trusted", .gauge, "1 while anything may be certified by the clock.", clock.isTrusted ? 1 : 0),
      MetricFamily("ceralacca_clock_synchronized", .gauge, "1 while a time service keeps the clock.", clock.isSynchronized ? 1 : 0),
      MetricFamily("ceralacca_clock_offset_seconds", .gauge, "What of a known offset is still to be slewed away.", clock.offsetSeconds),
      MetricFamily("ceralacca_clock_error_bound_seconds", .gauge, "How far from UTC the clock may be.", clock.boundSeconds),
    ] + scanning(report)
  }

  private func scanning(_ report: StatusReport) -> [MetricFamily] {
    guard let scanner = report.scanner else { return [] }
    let measures = subject.shared.measures
    var engine = MetricFamily("ceralacca_scanner", .info, "Engine and signatures that messages are looked at with.")
    engine.add(1, Label("engine", scanner.engine), Label("database", scanner.database))
    var scans = MetricFamily("ceralacca_scans", .counter, "Scans asked for, by what they said.")
    for (word, count) in measures.scans.all { scans.add(count, Label("verdict", word.rawValue)) }
    var times = MetricFamily("ceralacca_scan_seconds", .histogram, "From asking for a scan to its verdict, waiting included.")
    times.add(measures.scanSeconds.reading)
    return [
      engine, scans, times,
      MetricFamily("ceralacca_scanner_up", .gauge, "1 while messages are looked at.", scanner.isUp ? 1 : 0),
      MetricFamily("ceralacca_scanner_workers", .gauge, "Workers of the scanner that are there.", Double(scanner.workers)),
      MetricFamily("ceralacca_scanner_workers_wanted", .gauge, "Workers that the configuration asks for.", Double(scanner.workersWanted)),
      MetricFamily("ceralacca_scanner_waiting", .gauge, "Messages that wait for a worker.", Double(scanner.waiting)),
      MetricFamily("ceralacca_scanner_retries", .counter, "Messages that were given to a second worker.", Double(scanner.retried)),
      MetricFamily("ceralacca_scanner_cache_hits", .counter, "Verdicts that were known from before.", Double(scanner.cacheHits)),
      MetricFamily(
        "ceralacca_signature_database_timestamp_seconds", .gauge, "When the newest file of virus signatures was written.",
        scanner.databaseAt.map(Double.init)),
    ]
  }

  private func keeping(_ report: StatusReport) -> [MetricFamily] {
    let measures = subject.shared.measures
    let storage = report.storage
    var seconds = MetricFamily("ceralacca_commit_seconds", .histogram, "Time that a transaction of the ledger took.")
    seconds.add(measures.commitSeconds.reading)
    var rows = MetricFamily("ceralacca_commit_rows", .histogram, "Changes in a transaction of the ledger.")
    rows.add(measures.commitRows.reading)
    func gauge(_ name: String, _ help: String, _ value: Int?) -> MetricFamily { MetricFamily(name, .gauge, help, value.map(Double.init)) }
    return [
      seconds, rows,
      MetricFamily("ceralacca_commit_failures", .counter, "Transactions that the ledger could not take.", Double(storage.commitFailures)),
      gauge("ceralacca_spool_live_bytes", "Octets of the spool that something names, each as often as it is named.", storage.liveBytes),
      gauge("ceralacca_spool_file_bytes", "Octets of the spool's files.", storage.fileBytes),
      gauge("ceralacca_spool_segments", "Files of the spool with records.", storage.segments),
      gauge("ceralacca_spool_spare_segments", "Files of the spool that wait to be written again.", storage.spareSegments),
      gauge("ceralacca_disk_free_bytes", "Free octets on the spool's disk.", storage.freeBytes),
      gauge("ceralacca_disk_minimum_free_bytes", "Free octets below which no mail is taken.", storage.minimumFreeBytes),
      gauge("ceralacca_intake_memory_bytes", "Octets of bodies in memory that are not in the spool yet.", storage.intakeBytes),
      gauge("ceralacca_intake_memory_maximum_bytes", "Octets of bodies above which senders are not read.", storage.intakeLimitBytes),
      gauge("ceralacca_quarantine_messages", "Messages in quarantine.", storage.quarantined),
      gauge("ceralacca_log_rows", "Rows of the certified log.", report.log.rows),
      gauge("ceralacca_log_unsealed_rows", "Rows of the certified log that no seal covers yet.", report.log.unsealedRows),
      gauge("ceralacca_log_last_seal_timestamp_seconds", "When the log was sealed last.", report.log.lastSealAt.map { Int($0) }),
      gauge("ceralacca_log_unstamped_seals", "Seals without a time stamp, where stamps are configured.", report.log.unstampedSeals),
    ]
  }

  private func resting(_ report: StatusReport) -> [MetricFamily] {
    let index = report.index
    let process = look.process
    func gauge(_ name: String, _ help: String, _ value: Double?) -> MetricFamily { MetricFamily(name, .gauge, help, value) }
    return [
      gauge("ceralacca_index_records", "Providers in the provider index.", Double(index.records)),
      gauge("ceralacca_index_domains", "Domains in the provider index.", Double(index.domains)),
      gauge(
        "ceralacca_index_timestamp_seconds", "When the provider index was last known to be its publisher's.",
        index.confirmedAt.map(Double.init)),
      gauge("ceralacca_revocation_lists", "Revocation lists held.", Double(index.revocationLists)),
      gauge(
        "ceralacca_revocation_lists_outdated", "Revocation lists whose next edition is overdue.", Double(index.revocationListsOutdated)),
      gauge(
        "ceralacca_revocation_list_oldest_timestamp_seconds", "When the oldest revocation list was issued.",
        index.revocationListOldestAt.map(Double.init)),
      MetricFamily("process_cpu_seconds", .counter, "Processor time of this process.", process.processorSeconds),
      gauge("process_resident_memory_bytes", "Resident memory of this process.", Double(process.residentBytes)),
      gauge("process_virtual_memory_bytes", "Virtual memory of this process.", Double(process.virtualBytes)),
      gauge("process_open_fds", "Open descriptors of this process.", Double(process.openDescriptors)),
      gauge("process_max_fds", "Descriptors that this process may have open.", Double(process.maximumDescriptors)),
      gauge("process_threads", "Threads of this process.", Double(process.threads)),
      gauge("process_start_time_seconds", "When this process started.", Double(report.startedAt)),
    ]
  }
}
