#ifndef CERALACCA_CCONFINEMENT_INTERNAL_H
#define CERALACCA_CCONFINEMENT_INTERNAL_H

#include "CConfinement.h"

/// Notes the fault; always -1.
int confinement_fails(ceralacca_confinement_fault *fault, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/// Lets files be opened only as the plan says, for this thread and what it starts: 0 or -1.
int confinement_restrict_paths(const ceralacca_confinement *plan, int is_worker, ceralacca_confinement_fault *fault);

/// Lets only the role's system calls through, for this thread and what it starts: 0 or -1.
int confinement_restrict_calls(int is_worker, ceralacca_confinement_fault *fault);

#endif
