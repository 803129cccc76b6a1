// SPDX-License-Identifier: Apache-2.0
// Conversations in the form that a model was trained on.
#pragma once

#include "mamba2/text/chat_conversation.hpp"
#include "mamba2/text/chat_template.hpp"
