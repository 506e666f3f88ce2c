// For the precompiled header, which has to belong to a source.
#include "common.hpp"
